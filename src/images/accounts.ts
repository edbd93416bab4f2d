import { randomBytes } from "node:crypto";
import type { Readable } from "node:stream";
import { extract } from "tar-stream";
import type { Engine } from "../engine/engine.ts";
import { isStatus } from "../engine/errors.ts";
import { SingleFlight } from "../sys/mutex.ts";

/** Texts of an image's /etc/passwd and /etc/group; "" for a missing file. */
export interface AccountFiles {
  readonly passwd: string;
  readonly group: string;
}

/** An image can hold files of any size and links to anywhere: one small regular file is read. */
const fileLimitBytes = 1 << 20;
/** Scratch containers carry it, so that a start after a kill finds and removes them. */
export const scratchLabel = "io.dockline/scratch";

/**
 * Reads the two files through a container that is created and never started: the API gives out
 * files only of containers. Once for each image id; the last 64 are kept.
 */
export function createAccountReader(
  engine: Pick<Engine, "createContainer" | "readArchive" | "removeContainer">,
): (imageId: string) => Promise<AccountFiles> {
  const known = new Map<string, AccountFiles>();
  const flights = new SingleFlight<AccountFiles>();
  const read = async (imageId: string): Promise<AccountFiles> => {
    const { id } = await engine.createContainer(
      `dockline-scratch-${randomBytes(6).toString("hex")}`,
      {
        Image: imageId,
        Entrypoint: ["/"],
        Cmd: [],
        Labels: { [scratchLabel]: "accounts" },
        HostConfig: { NetworkMode: "none", RestartPolicy: { Name: "no" } },
      },
    );
    try {
      const passwd = await readSmallFile(engine, id, "/etc/passwd");
      const group = await readSmallFile(engine, id, "/etc/group");
      const files = { passwd, group };
      known.set(imageId, files);
      const [oldest] = known.keys();
      if (known.size > 64 && oldest !== undefined) known.delete(oldest);
      return files;
    } finally {
      await engine.removeContainer(id);
    }
  };
  return async (imageId) => known.get(imageId) ?? (await flights.run(imageId, () => read(imageId)));
}

async function readSmallFile(
  engine: Pick<Engine, "readArchive">,
  containerId: string,
  path: string,
): Promise<string> {
  let archive: Readable;
  try {
    archive = await engine.readArchive(containerId, path);
  } catch (error) {
    if (isStatus(error, 404)) return "";
    throw error;
  }
  const unpack = archive.pipe(extract());
  archive.on("error", (error) => unpack.destroy(error));
  try {
    for await (const entry of unpack) {
      if (entry.header.type !== "file") return "";
      if (entry.header.size > fileLimitBytes) {
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
