import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { Refusals, type FieldName } from "../convert/nri-refusal.ts";
import { errorText } from "../errors.ts";
import { Field } from "../gen/nri/v1alpha1/api_pb.js";
import type { ContainerAdjustment, FieldOwners } from "../gen/nri/v1alpha1/api_pb.js";
import type { HostPaths } from "./host-paths.ts";
import { isBind } from "../convert/nri-mounts.ts";

/** Of the file system that namespaces are files of: NSFS_MAGIC in linux/magic.h. */
const nsfs = 0x6e736673;

/**
 * The node's paths that an adjustment names are looked at when the container is created: the OCI runtime would say at
 * the start what is wrong with them, when nobody can ask the plugin any more.
 *
 * @throws FailedPrecondition naming plugin, field and path
 */
export async function requireAdjustmentPaths(
  adjust: Pick<ContainerAdjustment, "mounts" | "linux">,
  owners: FieldOwners | undefined,
  hostPaths: Pick<HostPaths, "existing">,
): Promise<void> {
  const refusals = new Refusals(owners);
  const existing = async (field: FieldName, path: string, name: string): Promise<void> => {
    await hostPaths.existing(path, name).catch((error: unknown) => {
      throw refusals.of(field, "FailedPrecondition", errorText(error));
    });
  };
  for (const mount of adjust.mounts) {
    const { destination: key, source } = mount;
    // What is no absolute path is left to the translation.
    if (!isBind(mount) || key.startsWith("-") || !isPath(source)) continue;
    await existing({ name: "mounts", field: Field.Mounts, key }, source, "the source");
  }
  for (const { type: key, path } of adjust.linux?.namespaces ?? []) {
    if (key.startsWith("-") || !isPath(path)) continue;
    const field = { name: "linux.namespaces", field: Field.Namespace, key };
    // The name itself may be a link of /proc, which leads to no path.
    await existing(field, dirname(path), "the path");
    if (await isNamespace(path)) continue;
    const why = `the path ${JSON.stringify(path.slice(0, 1024))} is no namespace`;
    throw refusals.of(field, "FailedPrecondition", why);
  }
}

const isPath = (path: string): boolean => path.startsWith("/") && !path.includes("\0");

async function isNamespace(path: string): Promise<boolean> {
  try {
    return (await statfs(path)).type === nsfs;
  } catch {
    return false;
  }
}
