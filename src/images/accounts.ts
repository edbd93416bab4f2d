import { randomBytes } from "node:crypto";
import { extract } from "tar-stream";
import type { ArchiveStream, Engine } from "../engine/engine.ts";
import { isStatus } from "../engine/errors.ts";
import type { ContainerSummary } from "../engine/types.ts";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { SingleFlight } from "../sys/mutex.ts";
import { RecentMap } from "../sys/recent-map.ts";

/** Texts of an image's /etc/passwd and /etc/group; "" for a missing file. */
export interface AccountFiles {
  readonly passwd: string;
  readonly group: string;
}

type AccountEngine = Pick<Engine, "createContainer" | "readArchive" | "removeContainer">;

/** An image can hold files of any size and links to anywhere: one small regular file is read. */
const fileLimitBytes = 1 << 20;
/** The engine resolves chains of links at once; a second step only meets links that changed. */
const maxLinks = 4;
/** Somebody may prune containers that never ran, ours among them, again and again. */
const attempts = 5;
/** Scratch containers carry it, so that a start after a kill finds and removes them. */
const scratchLabel = "io.dockline/scratch";
/** Of this process: what it makes now is in use, what others have left is not. */
const namePrefix = `dockline-scratch-${randomBytes(6).toString("hex")}-`;

/** The scratch container went away while it was read: says nothing about the image. */
class ScratchGone extends Error {}

/**
 * Reads the two files through a container that is created and never started: the API gives out
 * files only of containers. Once for each image id; the last 64 are kept. Links are followed inside
 * the image. A look that failed is not kept.
 */
export function createAccountReader(
  engine: AccountEngine,
  log: Logger,
): (imageId: string) => Promise<AccountFiles> {
  const known = new RecentMap<AccountFiles>(64);
  const flights = new SingleFlight<AccountFiles>();

  const readOnce = async (imageId: string): Promise<AccountFiles> => {
    const name = namePrefix + randomBytes(6).toString("hex");
    let id: string | undefined;
    try {
      ({ id } = await engine.createContainer(name, {
        Image: imageId,
        Entrypoint: ["/"],
        Cmd: [],
        Labels: { [scratchLabel]: "accounts" },
        HostConfig: { NetworkMode: "none", RestartPolicy: { Name: "no" } },
      }));
      const passwd = await readSmallFile(engine, id, "/etc/passwd");
      const group = await readSmallFile(engine, id, "/etc/group");
      const gone = await removeScratch(engine, id, log);
      // Of a container that it is removing an engine says that its files are not there.
      if (gone && (passwd === "" || group === ""))
        throw new ScratchGone("removed while it was read");
      return { passwd, group };
    } catch (error) {
      if (error instanceof ScratchGone) throw error;
      // By name: an answer that was lost may have made it.
      const gone = await removeScratch(engine, id ?? name, log);
      // An engine that is removing it fails with words of its own inside.
      if (gone && id !== undefined) throw new ScratchGone(errorText(error), { cause: error });
      throw error;
    }
  };

  const read = async (imageId: string): Promise<AccountFiles> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const files = await readOnce(imageId);
        known.set(imageId, files);
        return files;
      } catch (error) {
        if (!(error instanceof ScratchGone) || attempt === attempts) throw error;
        log.info({ imageId, attempt }, "somebody removed a container that Dockline was reading");
      }
    }
  };
  return async (imageId) => known.get(imageId) ?? (await flights.run(imageId, () => read(imageId)));
}

/** Removes what an earlier process left when it was killed in the middle. Never throws. */
export async function sweepScratch(
  engine: Pick<Engine, "listContainers" | "removeContainer">,
  log: Logger,
): Promise<void> {
  let found: ContainerSummary[];
  try {
    found = await engine.listContainers([scratchLabel]);
  } catch (error) {
    log.warn({ error: errorText(error) }, "left-over scratch containers cannot be listed");
    return;
  }
  for (const { Id, Names } of found) {
    if (Names.some((name) => name.replace(/^\//, "").startsWith(namePrefix))) continue;
    await removeScratch(engine, Id, log);
  }
}

/** True when somebody else has removed it, or is about to. Never throws. */
async function removeScratch(
  engine: Pick<Engine, "removeContainer">,
  id: string,
  log: Logger,
): Promise<boolean> {
  try {
    await engine.removeContainer(id);
    return false;
  } catch (error) {
    if (isStatus(error, 404) || isStatus(error, 409)) return true;
    log.warn(
      { containerId: id, error: errorText(error) },
      "a scratch container cannot be removed now",
    );
    return false;
  }
}

async function readSmallFile(
  engine: Pick<Engine, "readArchive">,
  containerId: string,
  path: string,
): Promise<string> {
  let at = path;
  for (let links = 0; links <= maxLinks; links += 1) {
    let archive: ArchiveStream;
    try {
      archive = await engine.readArchive(containerId, at);
    } catch (error) {
      if (isMissingFile(error)) return "";
      throw error;
    }
    const content = await readEntry(archive, path);
    if (typeof content === "string") return content;
    at = content.leadsTo;
  }
  return "";
}

/** Words of the engine since 1.8: the container is there and the file is not, or is a ring of links. */
function isMissingFile(error: unknown): boolean {
  return (
    (isStatus(error, 404) && /could not find the file|no such file/i.test(error.message)) ||
    (isStatus(error, 500) && /too many links/i.test(error.message))
  );
}

/** The first entry of an archive of one path: a small file's text, "" for what is none, or a link. */
async function readEntry(
  archive: ArchiveStream,
  path: string,
): Promise<string | { leadsTo: string }> {
  const unpack = archive.pipe(extract());
  archive.on("error", (error) => unpack.destroy(error));
  try {
    for await (const entry of unpack) {
      const { type, size } = entry.header;
      if (type === "symlink" && archive.linkTarget !== undefined) {
        return { leadsTo: archive.linkTarget };
      }
      if (type !== "file") return "";
      if (size > fileLimitBytes) {
        throw new Error(`${path} of the image is larger than ${fileLimitBytes} bytes`);
      }
      const chunks: Buffer[] = [];
      for await (const chunk of entry) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks).toString("utf8");
    }
    return "";
  } finally {
    archive.destroy();
  }
}
