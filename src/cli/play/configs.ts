import type { Fields } from "./fields.ts";
import { serversMetadata } from "./other-keys.ts";

export type ConfigKind = "ConfigMap" | "Secret";

/** A ConfigMap or Secret of the manifest. */
interface ConfigObject {
  data: Map<string, Uint8Array>;
}

/** The ConfigMaps and Secrets of all documents, and which of them a pod has used. */
export class Configs {
  readonly #objects = new Map<string, ConfigObject>();
  readonly #used = new Map<string, ConfigObject | undefined>();

  /** Reads one document. */
  add(kind: ConfigKind, root: Fields): void {
    const metadata = root.mapping("metadata");
    const name = metadata?.text("name") ?? "";
    if (name === "") root.problem("metadata", "has no name");
    const namespace = metadata?.text("namespace", "default") ?? "default";
    metadata?.ignore("labels", "annotations", ...serversMetadata);
    metadata?.finish();
    const data = new Map<string, Uint8Array>();
    const texts = kind === "ConfigMap" ? "data" : "stringData";
    const coded = kind === "ConfigMap" ? "binaryData" : "data";
    for (const [key, text] of Object.entries(root.textMap(coded))) {
      if (!isBase64(text)) root.problem(coded, `${key} is not base64`);
      data.set(key, Buffer.from(text, "base64"));
    }
    for (const [key, text] of Object.entries(root.textMap(texts))) data.set(key, Buffer.from(text));
    for (const key of data.keys()) {
      if (!/^[-._a-zA-Z0-9]+$/.test(key) || key === "." || key === "..") {
        root.problem(texts, `${JSON.stringify(key)}: a key has letters, digits, -, _ and . only`);
      }
    }
    root.ignore("apiVersion", "kind", "immutable", ...(kind === "Secret" ? ["type"] : []));
    root.finish();
    const id = idOf(kind, namespace, name);
    if (this.#objects.has(id)) root.problem("metadata", `${id} is there twice`);
    this.#objects.set(id, { data });
  }

  /** Undefined where the manifest has none; that is remembered as well. */
  find(kind: ConfigKind, namespace: string, name: string): Map<string, Uint8Array> | undefined {
    const id = idOf(kind, namespace, name);
    const found = this.#objects.get(id);
    this.#used.set(id, found);
    return found?.data;
  }

  /** What was found since the last call, in a form to compare. */
  takeUsed(): unknown {
    const used = [...this.#used].map(([id, found]) => [
      id,
      [...(found?.data ?? [])].map(([key, value]) => [key, Buffer.from(value).toString("base64")]),
    ]);
    this.#used.clear();
    return used.sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
  }
}

/** The data that a reference names; undefined with a problem, or without one where it is optional. */
export function referredData(
  reference: Fields,
  kind: ConfigKind,
  pod: { configs: Configs; namespace: string },
  nameKey = "name",
): Map<string, Uint8Array> | undefined {
  const name = reference.text(nameKey);
  const optional = reference.flag("optional");
  const found = pod.configs.find(kind, pod.namespace, name);
  if (found === undefined && !optional) {
    reference.problem(
      nameKey,
      `no ${kind} ${JSON.stringify(name)} of namespace ${pod.namespace} is among the documents`,
    );
  }
  return found;
}

const idOf = (kind: ConfigKind, namespace: string, name: string): string =>
  `${kind} ${namespace}/${name}`;

const isBase64 = (text: string): boolean =>
  /^[A-Za-z0-9+/]*={0,2}$/.test(text.replaceAll(/\s/g, "")) &&
  text.replaceAll(/\s/g, "").length % 4 === 0;
