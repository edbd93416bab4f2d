import { basename } from "node:path";
import { gunzipSync } from "node:zlib";
import { readFile } from "node:fs/promises";
import type { DockerEngine } from "../../engine/docker-engine.ts";
import { isStatus } from "../../engine/errors.ts";
import type { ImageInspect } from "../../engine/image-types.ts";
import type { EngineInfo } from "../../engine/types.ts";
import type { Config } from "../../config/options.ts";
import { listedDigests, listedTags } from "../../convert/image-out.ts";
import { normalizeListed } from "../../convert/image-ref.ts";
import { isPinned, originOf, usesContainerdStore } from "../../convert/pinned.ts";
import { isEditingRuntime } from "../../convert/runtime-handler.ts";
import { errorText } from "../../errors.ts";
import { isErrno } from "../../sys/fs.ts";
import { runProcess } from "../../sys/process.ts";
import type { EditingFacts, EngineFacts, RuncFacts } from "./facts.ts";
import { isDistributions } from "./runc.ts";

/** An engine that hangs must not hold the doctor for long. */
const timeoutMs = 10_000;
const callMs = 5_000;

/** Throws EngineError. */
export async function readEngine(
  engine: DockerEngine,
  config: Pick<Config, "podInfraContainerImage" | "pinnedImages">,
): Promise<EngineFacts> {
  const version = await engine.version({ timeoutMs });
  const info = await engine.info({ timeoutMs });
  const pauseImage = await inspectIfThere(engine, config.podInfraContainerImage);
  const api = engine.connection.apiVersion ?? [1, 0];
  const localImages = await readLocalImages(engine, info, api[1], config);
  return { version, info, api, pauseImage, localImages };
}

async function readLocalImages(
  engine: DockerEngine,
  info: EngineInfo,
  apiMinor: number,
  config: Pick<Config, "podInfraContainerImage" | "pinnedImages">,
): Promise<string[] | undefined> {
  const store = { containerdStore: usesContainerdStore(info), apiMinor };
  const policy = {
    pauseReference: normalizeListed(config.podInfraContainerImage),
    patterns: config.pinnedImages,
  };
  const found: string[] = [];
  for (const { Id, RepoTags, RepoDigests } of await engine.listImages({ timeoutMs })) {
    const inspect = store.containerdStore ? await inspectIfThere(engine, Id) : { Identity: null };
    if (inspect === undefined) continue;
    const image = {
      inspect,
      repoTags: listedTags(RepoTags ?? []),
      repoDigests: listedDigests(RepoDigests ?? []),
    };
    const origin = originOf(image, store);
    if (origin === "unknown") return undefined;
    if (origin === "local" && !isPinned(image, policy)) found.push(image.repoTags[0] ?? Id);
  }
  return found.sort();
}

async function inspectIfThere(
  engine: DockerEngine,
  reference: string,
): Promise<ImageInspect | undefined> {
  try {
    return await engine.inspectImage(reference, { timeoutMs });
  } catch (error) {
    if (isStatus(error, 404)) return undefined;
    throw error;
  }
}

/** Its version as Docker found it; the program is asked only where Docker does not say. */
export async function readRunc({ version, info }: EngineFacts): Promise<RuncFacts | undefined> {
  const found =
    version.Components?.find(({ Name }) => Name === "runc")?.Version ??
    (await askRunc(info.Runtimes?.[info.DefaultRuntime]?.path ?? "runc"));
  if (found === undefined || found === "") return undefined;
  return { version: found, changelog: isDistributions(found) ? await changelogOf("runc") : "" };
}

async function askRunc(program: string): Promise<string | undefined> {
  try {
    const { stdout } = await runProcess(program, ["--version"], { timeoutMs: callMs });
    return /^runc version (\S+)/m.exec(stdout)?.[1];
  } catch {
    return undefined;
  }
}

/** Debian's and Ubuntu's, which name each vulnerability that was fixed without a new upstream version. */
async function changelogOf(name: string): Promise<string> {
  for (const folder of [name, `${name}-app`]) {
    try {
      const packed = await readFile(`/usr/share/doc/${folder}/changelog.Debian.gz`);
      return gunzipSync(packed, { maxOutputLength: 16 << 20 }).toString("utf8");
    } catch (error) {
      if (!isErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return "";
    }
  }
  return "";
}

/** Each registration of dockline-oci, called once. */
export async function readEditing({ info }: EngineFacts): Promise<EditingFacts[]> {
  const found: EditingFacts[] = [];
  for (const [name, { path = "", runtimeArgs }] of Object.entries(info.Runtimes ?? {})) {
    if (!isEditingRuntime(name)) continue;
    const given = (runtimeArgs ?? []).find((argument) => argument.startsWith("--edits="));
    const edits = given?.slice("--edits=".length) ?? "/run/dockline/oci";
    const trouble = await callTrouble(path);
    found.push({ name, program: path, edits, ...(trouble === undefined ? {} : { trouble }) });
  }
  return found;
}

async function callTrouble(program: string): Promise<string | undefined> {
  try {
    const result = await runProcess(program, ["--dockline-version"], { timeoutMs: callMs });
    if (result.exitCode === 0) return undefined;
    return result.stderr.trim().slice(0, 200) || `exit status ${result.exitCode}`;
  } catch (error) {
    return errorText(error)
      .replace(`${program}: `, "")
      .replace(/^spawn \S+ /, `${basename(program)}: `);
  }
}
