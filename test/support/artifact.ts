import { digestOf } from "./registry-image.ts";

/** What `oras push` makes of files: OCI content that is no container image. */
export interface Artifact {
  /** Media type of its configuration. */
  configType: string;
  config: string;
  artifactType?: string;
  layers: { mediaType: string; content: Buffer; title?: string }[];
}

const manifestType = "application/vnd.oci.image.manifest.v1+json";

/** Puts an artifact into a registry through its API; gives the manifest's digest. */
export async function pushArtifact(
  host: string,
  repository: string,
  tag: string,
  artifact: Artifact,
): Promise<string> {
  const base = `http://${host}/v2/${repository}`;
  const upload = async (content: Buffer): Promise<{ digest: string; size: number }> => {
    const digest = digestOf(content);
    const begun = await fetch(`${base}/blobs/uploads/`, { method: "POST" });
    const location = new URL(begun.headers.get("location") ?? "", base);
    location.searchParams.set("digest", digest);
    const done = await fetch(location, {
      method: "PUT",
      body: new Uint8Array(content),
      headers: { "Content-Type": "application/octet-stream" },
    });
    if (done.status !== 201) throw new Error(`blob: ${done.status} ${await done.text()}`);
    return { digest, size: content.length };
  };
  const config = await upload(Buffer.from(artifact.config));
  const layers = [];
  for (const { mediaType, content, title } of artifact.layers) {
    const annotations = title === undefined ? {} : { "org.opencontainers.image.title": title };
    layers.push({ mediaType, ...(await upload(content)), annotations });
  }
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: manifestType,
    ...(artifact.artifactType === undefined ? {} : { artifactType: artifact.artifactType }),
    config: { mediaType: artifact.configType, ...config },
    layers,
  });
  const put = await fetch(`${base}/manifests/${tag}`, {
    method: "PUT",
    body: manifest,
    headers: { "Content-Type": manifestType },
  });
  if (put.status !== 201) throw new Error(`manifest: ${put.status} ${await put.text()}`);
  return digestOf(Buffer.from(manifest));
}

/** One file, in the form of today's tools. */
export const plainFile: Artifact = {
  configType: "application/vnd.oci.empty.v1+json",
  config: "{}",
  artifactType: "application/vnd.example.model",
  layers: [{ mediaType: "text/plain", content: Buffer.from("weights\n"), title: "model.txt" }],
};
