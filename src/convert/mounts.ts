import { invalidArgument } from "../errors.ts";
import type { DockerMount } from "../engine/types.ts";
import { MountPropagation, type Mount } from "../gen/runtime/v1/api_pb.js";
import { API, type HandlerFacts } from "./engine-facts.ts";
import { quoted, requireMountPath, requirePlainText, unimplemented } from "./field-checks.ts";
import { lookupReference } from "./image-ref.ts";
import { effectiveMounts, touchesDataRoot } from "./mount-points.ts";
import { notEditing } from "./runtime-handler.ts";

type MountFacts = HandlerFacts<"apiMinor" | "dockerRootDir">;

const NO_PATH = "\0";
const NEEDS_EDITS = `not supported on this node: ${notEditing}`;

/**
 * CRI mounts → Docker's structured mounts, in the order given; of several at one mount point the
 * last, as Docker refuses two. Never string binds: in those a colon in a path would be syntax. What
 * `selinux_relabel` asks is done at the start.
 *
 * @param imageSources what image mounts are of, by their place in the list: an image id, or on engines
 *   below API 1.48 the path of a copy
 * @throws InvalidArgument or Unimplemented naming the mount's field
 */
export function toDockerMounts(
  mounts: readonly Mount[],
  facts: MountFacts,
  imageSources: ReadonlyMap<number, string> = new Map(),
): DockerMount[] {
  const translated = mounts.map((mount, index) => {
    const field = `mounts[${index}]`;
    const target = requireMountPath(`${field}.container_path`, mount.containerPath);
    if (isRoot(target))
      throw invalidArgument(`${field}.container_path: "/" cannot be a mount point`);
    refuseUnsupported(field, mount, facts);
    if (mount.image !== undefined) {
      return imageMount(field, mount, mount.image.image, facts, imageSources.get(index));
    }
    if (mount.imageSubPath !== "") {
      throw invalidArgument(`${field}.image_sub_path: set without image`);
    }
    return bindMount(field, mount, facts);
  });
  const effective = new Set(effectiveMounts(mounts));
  return translated.filter((_, index) => effective.has(mounts[index] as Mount));
}

/**
 * Refuses what toDockerMounts refuses of mounts whose host paths are not resolved yet.
 *
 * @throws as toDockerMounts
 */
export function checkMounts(
  mounts: readonly Mount[],
  facts: HandlerFacts<"apiMinor">,
  imageSources: ReadonlyMap<number, string>,
): void {
  // Which source touches the data root shows only when its links are resolved.
  toDockerMounts(mounts, { ...facts, dockerRootDir: NO_PATH }, imageSources);
}

function bindMount(field: string, mount: Mount, facts: MountFacts): DockerMount {
  // How long it may be shows when it is resolved.
  const source = requireMountPath(`${field}.host_path`, mount.hostPath, Infinity);
  const asked = toPropagation(mount.propagation);
  if (mount.recursiveReadOnly) requireRecursiveReadOnly(field, mount, facts);
  // Docker refuses rprivate for such a source and takes rslave when nothing is said, so that no
  // container holds on to the mounts of others.
  const slave = asked === "rprivate" && touchesDataRoot(source, facts.dockerRootDir);
  // There dockline-oci makes the mount private and recursively read-only.
  const recursive = mount.recursiveReadOnly && !slave;
  // From API 1.44 on Docker makes plain read-only binds recursive; the CRI's are not, unless asked.
  const ownRecursion = mount.readonly && facts.apiMinor >= API.readOnlyRecursion;
  return {
    Type: "bind",
    Source: source,
    Target: mount.containerPath,
    ReadOnly: mount.readonly,
    BindOptions: {
      ...(slave ? {} : { Propagation: asked }),
      ...(ownRecursion ? recursionOption(recursive) : {}),
    },
  };
}

function recursionOption(recursive: boolean): NonNullable<DockerMount["BindOptions"]> {
  return recursive ? { ReadOnlyForceRecursive: true } : { ReadOnlyNonRecursive: true };
}

function requireRecursiveReadOnly(field: string, mount: Mount, facts: MountFacts): void {
  if (!mount.readonly) {
    throw invalidArgument(`${field}.recursive_read_only: needs readonly`);
  }
  if (mount.propagation !== MountPropagation.PROPAGATION_PRIVATE) {
    throw invalidArgument(`${field}.recursive_read_only: needs private propagation`);
  }
  if (facts.editing?.recursiveReadOnly === true) return;
  // The kubelet looks for the word RROUnsupported.
  if (touchesDataRoot(mount.hostPath, facts.dockerRootDir)) {
    throw invalidArgument(
      `RROUnsupported: ${field}.recursive_read_only: Docker lets later mounts of the node appear in ${quoted(mount.hostPath)}, as its data root ${quoted(facts.dockerRootDir)} is there; ${NEEDS_EDITS}`,
    );
  }
  if (facts.apiMinor < API.readOnlyRecursion) {
    throw invalidArgument(
      `RROUnsupported: ${field}.recursive_read_only: this Docker Engine has no recursive read-only mounts (API 1.${API.readOnlyRecursion})`,
    );
  }
}

/**
 * Read-only whatever the mount says: kubelets leave `readonly` unset for images. Nothing is ever
 * mounted below an image, so it is read-only throughout, and no propagation has anything to pass on.
 */
function imageMount(
  field: string,
  mount: Mount,
  image: string,
  facts: MountFacts,
  found: string | undefined,
): DockerMount {
  if (mount.hostPath !== "") throw invalidArgument(`${field}: both host_path and image are set`);
  const subPath = requirePlainText(`${field}.image_sub_path`, mount.imageSubPath);
  if (!isLocal(subPath)) throw invalidArgument(`${field}.image_sub_path: leaves the image`);
  const source = found ?? lookupReference(image);
  if (source.startsWith("/")) {
    return {
      Type: "bind",
      Source: source,
      Target: mount.containerPath,
      ReadOnly: true,
      BindOptions: { Propagation: "rprivate" },
    };
  }
  if (facts.apiMinor < API.imageMounts) {
    throw unimplemented(
      `ImageVolumeMountFailed: ${field}.image: this Docker Engine has no image mounts (API 1.${API.imageMounts})`,
    );
  }
  return {
    Type: "image",
    Source: source,
    Target: mount.containerPath,
    ReadOnly: true,
    ...(subPath === "" ? {} : { ImageOptions: { Subpath: subPath } }),
  };
}

/** What dockline-oci adds to the spec; oci-edits.ts has the rules. */
function refuseUnsupported(field: string, mount: Mount, facts: MountFacts): void {
  if (facts.editing !== undefined) return;
  if (mount.uidMappings.length > 0) {
    throw invalidArgument(`${field}.uidMappings: ${NEEDS_EDITS}`);
  }
  if (mount.gidMappings.length > 0) {
    throw invalidArgument(`${field}.gidMappings: ${NEEDS_EDITS}`);
  }
  if (mount.mountOptions.length > 0) {
    throw invalidArgument(`${field}.mount_options: ${NEEDS_EDITS}`);
  }
}

/** True for the CRI's own values; any other counts as private. */
export function isKnownPropagation(propagation: MountPropagation): boolean {
  return (MountPropagation[propagation] as string | undefined) !== undefined;
}

function toPropagation(
  propagation: MountPropagation,
): NonNullable<NonNullable<DockerMount["BindOptions"]>["Propagation"]> {
  switch (propagation) {
    case MountPropagation.PROPAGATION_HOST_TO_CONTAINER:
      return "rslave";
    case MountPropagation.PROPAGATION_BIDIRECTIONAL:
      return "rshared";
    default:
      return "rprivate";
  }
}

/** "/", "//", "/a/.." and the like. */
function isRoot(path: string): boolean {
  const depth = path.split("/").reduce((levels, part) => {
    if (part === "" || part === ".") return levels;
    return part === ".." ? Math.max(0, levels - 1) : levels + 1;
  }, 0);
  return depth === 0;
}

function isLocal(path: string): boolean {
  return !path.startsWith("/") && !path.split("/").includes("..");
}
