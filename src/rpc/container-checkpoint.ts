import { lstat, mkdtemp, readFile, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { requirePlainText, unimplemented } from "../convert/field-checks.ts";
import { formatTimeNs } from "../convert/time.ts";
import type { Handlers } from "../cri/bind.ts";
import { CriError, errorText, invalidArgument, notFound } from "../errors.ts";
import type { RuntimeService } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry } from "../index/container-index.ts";
import { isErrno, readTextIfExists } from "../sys/fs.ts";
import { unescaped } from "../sys/mount-table.ts";
import { runProcess } from "../sys/process.ts";
import { findBundle, firstError } from "../containers/criu.ts";
import type { Criu, OciBundle } from "../containers/criu.ts";
import type { PodDeps } from "../pods/deps.ts";

const defaultMs = 600_000;
const longestMs = 3_600_000n;

/**
 * CheckpointContainer: CRIU writes the running container's processes down and lets them run on. Not
 * through Docker's own checkpoints, which only experimental daemons have. The archive is laid out as
 * checkpointctl and other runtimes have it: `checkpoint/`, `spec.dump`, `config.dump`,
 * `rootfs-diff.tar`, `deleted.files`, `dump.log`.
 */
export function containerCheckpoint(
  deps: PodDeps & { criu: Criu },
): Pick<Handlers<typeof RuntimeService>, "checkpointContainer"> {
  return {
    checkpointContainer: async (request, context) => {
      const location = requirePlainText("location", request.location);
      if (!isAbsolute(location)) throw invalidArgument("location: not an absolute path");
      if (request.containerId === "") throw invalidArgument("checkpoint: container id is empty");
      if (request.timeout < 0n) throw invalidArgument("timeout: negative");
      const asked = request.timeout * 1000n;
      const timeoutMs = asked === 0n ? defaultMs : Number(asked > longestMs ? longestMs : asked);
      const found = await running(deps, request.containerId);
      await deps.criu.require();
      await deps.hostPaths.mustAnswer(location, "location");
      await deps.locks.run(
        `container:${found.name}`,
        async () => {
          const container = await running(deps, found.id);
          const folder = await folderFor(location);
          try {
            await dump(container, folder, timeoutMs, deps.clock);
            const archive = `${folder}.tar`;
            try {
              // tar keeps the mode of a file that is there.
              await writeFile(archive, "", { mode: 0o600, flag: "wx" });
              await tar(["-C", folder, "-cf", archive, "."], timeoutMs);
              await rename(archive, location);
            } finally {
              await rm(archive, { force: true });
            }
          } finally {
            await rm(folder, { recursive: true, force: true });
          }
        },
        context.signal,
      );
      return {};
    },
  };
}

async function running(deps: Pick<PodDeps, "index">, id: string): Promise<ContainerEntry> {
  const found = await deps.index.find("container", id);
  if (found === undefined) throw notFound(`checkpoint: no container ${id}`);
  if (!found.state.Running || found.state.Pid === 0) {
    throw new CriError("FailedPrecondition", `checkpoint: container ${found.id} is not running`);
  }
  return found;
}

/** For root alone, as all that the container's memory may hold. */
async function folderFor(location: string): Promise<string> {
  try {
    if ((await stat(location)).isDirectory()) throw invalidArgument("location: is a directory");
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
  try {
    return await mkdtemp(`${location}.`);
  } catch (error) {
    throw invalidArgument(`location: ${dirname(location)}: ${errorText(error)}`);
  }
}

async function dump(
  container: ContainerEntry,
  folder: string,
  timeoutMs: number,
  clock: PodDeps["clock"],
): Promise<void> {
  const { Pid: pid } = container.state;
  const bundle = findBundle(pid, container.id);
  const upper = await upperFolder(pid);
  await checkpoint(bundle, container.id, folder, timeoutMs);
  await writeFile(join(folder, "spec.dump"), await readFile(join(bundle.folder, "config.json")));
  await writeFile(join(folder, "config.dump"), JSON.stringify(describe(container, clock.nowNs())));
  const deleted = await whiteouts(upper);
  await writeFile(join(folder, "deleted.files"), JSON.stringify(deleted));
  const exclude = join(folder, "..exclude");
  await writeFile(exclude, deleted.map((path) => `./${path}\n`).join(""));
  await tar(
    [
      ...["-C", upper, "--xattrs", "--xattrs-include=*", "--numeric-owner", "--sparse"],
      ...["--anchored", "--no-wildcards", `--exclude-from=${exclude}`],
      ...["-cf", join(folder, "rootfs-diff.tar"), "."],
    ],
    timeoutMs,
  );
  await rm(exclude);
}

async function checkpoint(
  bundle: OciBundle,
  containerId: string,
  folder: string,
  timeoutMs: number,
): Promise<void> {
  const { exitCode, stdout, stderr } = await runProcess(
    bundle.program,
    [
      `--root=${bundle.root}`,
      ...(bundle.systemdCgroup ? ["--systemd-cgroup"] : []),
      "checkpoint",
      ...["--leave-running", "--tcp-established", "--file-locks"],
      `--image-path=${join(folder, "checkpoint")}`,
      `--work-path=${folder}`,
      containerId,
    ],
    { timeoutMs },
  );
  if (exitCode === 0) return;
  const log = (await readTextIfExists(join(folder, "dump.log"))) ?? "";
  const said = firstError(log.includes("Error") ? log : `${stderr}\n${stdout}`);
  throw new CriError("Internal", `checkpoint of container ${containerId}: ${said}`);
}

function describe(container: ContainerEntry, nowNs: bigint): object {
  const { inspect } = container;
  return {
    id: container.id,
    name: container.identity.metadata.name,
    rootfsImage: container.image,
    rootfsImageRef: container.imageId,
    runtime: inspect?.HostConfig.Runtime ?? "",
    createdTime: formatTimeNs(container.createdAtNs),
    checkpointedTime: new Date(Number(nowNs / 1_000_000n)).toISOString(),
  };
}

/** The overlay's own layer: what the container changed of its image. */
async function upperFolder(pid: number): Promise<string> {
  const lines = (await readFile(`/proc/${pid}/mountinfo`, "utf8")).split("\n");
  const root = lines.findLast((line) => line.split(" ")[4] === "/") ?? "";
  const upper = /[ ,]upperdir=([^, ]+)/.exec(root)?.[1];
  if (upper === undefined || !isAbsolute(upper)) {
    throw unimplemented("checkpoint: the container's root is not an overlay");
  }
  return unescaped(upper);
}

/** Paths that the container removed: overlay's character devices 0:0. */
async function whiteouts(upper: string): Promise<string[]> {
  const found: string[] = [];
  const visit = async (folder: string): Promise<void> => {
    for (const entry of await readdir(join(upper, folder), { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) await visit(path);
      else if (entry.isCharacterDevice() && (await lstat(join(upper, path))).rdev === 0) {
        found.push(path);
      }
    }
  };
  await visit("");
  return found.sort();
}

/** 1 is "a file changed while it was read": the container runs. */
async function tar(args: readonly string[], timeoutMs: number): Promise<void> {
  const { exitCode, stderr } = await runProcess("tar", args, { timeoutMs });
  if (exitCode > 1) throw new CriError("Internal", `checkpoint: tar: ${stderr.slice(0, 300)}`);
}
