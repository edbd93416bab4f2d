import { createHash } from "node:crypto";
import type { Readable } from "node:stream";
import { streamOf, tarOf } from "./saved-image.ts";
import type { TarFile } from "./saved-image.ts";

/** An image of several layers, from the lowest to the uppermost, as the body of POST /images/load. */
export async function layeredImage(
  reference: string,
  layers: readonly (readonly TarFile[])[],
): Promise<Readable> {
  const tars = await Promise.all(layers.map(tarOf));
  const digest = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === "arm64" ? "arm64" : "amd64",
      os: "linux",
      config: {},
      rootfs: { type: "layers", diff_ids: tars.map((tar) => `sha256:${digest(tar)}`) },
      history: tars.map(() => ({ created_by: "dockline test" })),
    }),
  );
  const names = tars.map((_, at) => `layer-${at}.tar`);
  const manifest = [{ Config: "config.json", RepoTags: [reference], Layers: names }];
  return streamOf(
    await tarOf([
      { name: "config.json", content: config },
      ...names.map((name, at) => ({ name, content: tars[at] ?? "" })),
      { name: "manifest.json", content: JSON.stringify(manifest) },
    ]),
  );
}
