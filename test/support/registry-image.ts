import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { imageParts } from "../../scripts/image-archive.ts";
import type { ImageSpec } from "../../scripts/image-archive.ts";

/** An image as registries keep it: content by digest. */
export interface RegistryImage {
  manifest: Buffer;
  manifestDigest: string;
  config: Buffer;
  configDigest: string;
  layer: Buffer;
  layerDigest: string;
}

export const manifestType = "application/vnd.docker.distribution.manifest.v2+json";

export async function registryImage(spec: Omit<ImageSpec, "references">): Promise<RegistryImage> {
  const { config, layer: plain } = await imageParts({ ...spec, references: [] });
  const layer = gzipSync(plain, { level: 1 });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: {
        mediaType: "application/vnd.docker.container.image.v1+json",
        size: config.length,
        digest: digestOf(config),
      },
      layers: [
        {
          mediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip",
          size: layer.length,
          digest: digestOf(layer),
        },
      ],
    }),
  );
  return {
    manifest,
    manifestDigest: digestOf(manifest),
    config,
    configDigest: digestOf(config),
    layer,
    layerDigest: digestOf(layer),
  };
}

export function digestOf(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
