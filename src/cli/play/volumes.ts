import { referredData } from "./configs.ts";
import { podField } from "./environment.ts";
import type { PodSelf } from "./environment.ts";
import type { Fields } from "./fields.ts";
import { volumeKeys } from "./other-keys.ts";
import { hostPathTypes } from "./plan.ts";
import type { PlannedFile, PlannedFolder, PlannedHostPath } from "./plan.ts";

/** A volume as a container's mounts find it. */
export interface Volume {
  hostPath: string;
  /** Mounted read-only, as the kubelet does with what it writes itself. */
  readonly: boolean;
}

export interface Volumes {
  byName: Map<string, Volume>;
  folders: PlannedFolder[];
  hostPaths: PlannedHostPath[];
}

/** The pod's volumes; those that are files of ours come to lie in `root`. */
export function readVolumes(list: Fields[], pod: PodSelf, root: string): Volumes {
  const volumes: Volumes = { byName: new Map(), folders: [], hostPaths: [] };
  for (const volume of list) {
    const name = volume.text("name");
    if (!/^[a-z0-9][a-z0-9-]*$/.test(name)) volume.problem("name", "want a-z, 0-9 and -");
    if (volumes.byName.has(name)) volume.problem("name", `${name} is there twice`);
    const path = `${root}/${name}`;
    const hostPath = volume.mapping("hostPath");
    const files = hostPath === undefined ? readFiles(volume, pod) : undefined;
    if (hostPath !== undefined) {
      const target = hostPath.text("path");
      if (!target.startsWith("/")) hostPath.problem("path", "want an absolute path");
      volumes.hostPaths.push({ path: target, type: hostPath.choice("type", hostPathTypes, "") });
      hostPath.finish();
      volumes.byName.set(name, { hostPath: target, readonly: false });
    } else if (files !== undefined) {
      volumes.folders.push({ path, files, writable: false });
      volumes.byName.set(name, { hostPath: path, readonly: true });
    } else {
      readEmptyDir(volume);
      volumes.folders.push({ path, files: [], writable: true });
      volumes.byName.set(name, { hostPath: path, readonly: false });
    }
    volume.finish(volumeKeys);
  }
  return volumes;
}

function readEmptyDir(volume: Fields): void {
  const emptyDir = volume.has("emptyDir") ? volume.mapping("emptyDir") : undefined;
  volume.ignore("emptyDir");
  emptyDir?.finish({
    passedOver: { medium: "it lies on the disk", sizeLimit: "no limit is applied" },
  });
}

/** Undefined where the volume is none of files. */
function readFiles(volume: Fields, pod: PodSelf): PlannedFile[] | undefined {
  const projected = volume.mapping("projected");
  if (projected === undefined) return readSource(volume, pod, "secretName", 0o644);
  const mode = projected.count("defaultMode", 0o644);
  const files = projected.list("sources").flatMap((source) => {
    const found = readSource(source, pod, "name", mode) ?? [];
    source.finish({ unsupported: ["clusterTrustBundle", "podCertificate", "serviceAccountToken"] });
    return found;
  });
  projected.finish();
  return files;
}

/** A volume and a source of a projected one differ in what a Secret's name is called. */
function readSource(
  source: Fields,
  pod: PodSelf,
  secretName: string,
  defaultMode: number,
): PlannedFile[] | undefined {
  const downward = source.mapping("downwardAPI");
  if (downward !== undefined) return readDownward(downward, pod, defaultMode);
  for (const [key, kind, nameKey] of [
    ["configMap", "ConfigMap", "name"],
    ["secret", "Secret", secretName],
  ] as const) {
    const reference = source.mapping(key);
    if (reference === undefined) continue;
    const data = referredData(reference, kind, pod, nameKey);
    const mode = reference.count("defaultMode", defaultMode);
    const optional = reference.flag("optional");
    const files = reference.has("items")
      ? reference.list("items").flatMap((item) => {
          const content = data?.get(item.text("key"));
          if (content === undefined && data !== undefined && !optional) {
            item.problem("key", `the ${kind} has no such key`);
          }
          const file = readItem(item, mode);
          return content === undefined ? [] : [{ ...file, content }];
        })
      : [...(data ?? [])].map(([path, content]) => ({ path, content, mode }));
    reference.finish();
    return files;
  }
  return undefined;
}

function readDownward(downward: Fields, pod: PodSelf, defaultMode: number): PlannedFile[] {
  const mode = downward.count("defaultMode", defaultMode);
  const files = downward.list("items").map((item) => {
    const field = item.mapping("fieldRef");
    const path = field?.text("fieldPath") ?? "";
    field?.ignore("apiVersion");
    field?.finish();
    const text = podField(path, pod);
    if (text === undefined && !item.has("resourceFieldRef")) {
      item.problem("fieldRef", `${path} is not known to dockline play`);
    }
    return { ...readItem(item, mode, ["resourceFieldRef"]), content: Buffer.from(text ?? "") };
  });
  downward.finish();
  return files;
}

function readItem(
  item: Fields,
  defaultMode: number,
  unsupported: readonly string[] = [],
): Pick<PlannedFile, "path" | "mode"> {
  const path = item.text("path");
  if (!isWithin(path)) item.problem("path", "want a path inside the volume");
  const mode = item.count("mode", defaultMode);
  item.finish({ unsupported });
  return { path, mode };
}

/** Relative, and without a way out. */
export const isWithin = (path: string): boolean =>
  path !== "" && !path.startsWith("/") && !path.split("/").includes("..");
