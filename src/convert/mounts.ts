import { invalidArgument } from "../errors.ts";
import type { DockerMount } from "../engine/types.ts";
import { MountPropagation, type Mount } from "../gen/runtime/v1/api_pb.js";
import { API, type HandlerFacts } from "./engine-facts.ts";
import { requireAbsolutePath, requirePlainText, unimplemented } from "./field-checks.ts";
import { lookupReference } from "./image-ref.ts";

type MountFacts = HandlerFacts<"apiMinor">;

const NEEDS_EDITS =
  "not supported on this node: dockline-oci is not registered for this runtime; see dockline install-runtime";

/**
 * CRI mounts → Docker's structured mounts, in the order given. Never string binds: in those a colon
 * in a path would be syntax; what `selinux_relabel` asks is done at the start. A missing host path is Docker's error, as the CRI wants it.
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
  return mounts.map((mount, index) => {
    const field = `mounts[${index}]`;
    const target = requireAbsolutePath(`${field}.container_path`, mount.containerPath);
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
}

function bindMount(field: string, mount: Mount, facts: MountFacts): DockerMount {
  const source = requireAbsolutePath(`${field}.host_path`, mount.hostPath);
  const propagation = toPropagation(field, mount.propagation);
  const recursive = mount.recursiveReadOnly;
  if (recursive) requireRecursiveReadOnly(field, mount, facts);
  // From API 1.44 on Docker makes plain read-only binds recursive; the CRI's are not, unless asked.
  const ownRecursion = mount.readonly && facts.apiMinor >= API.readOnlyRecursion;
  return {
    Type: "bind",
    Source: source,
    Target: mount.containerPath,
    ReadOnly: mount.readonly,
    BindOptions: {
      Propagation: propagation,
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
  if (facts.apiMinor < API.readOnlyRecursion && facts.editing?.recursiveReadOnly !== true) {
    // The kubelet looks for this word.
    throw invalidArgument(
      `RROUnsupported: ${field}.recursive_read_only: this Docker Engine has no recursive read-only mounts (API 1.${API.readOnlyRecursion})`,
    );
  }
}

/** Read-only whatever the mount says: kubelets leave `readonly` unset for images. */
function imageMount(
  field: string,
  mount: Mount,
  image: string,
  facts: MountFacts,
  found: string | undefined,
): DockerMount {
  if (mount.hostPath !== "") throw invalidArgument(`${field}: both host_path and image are set`);
  if (mount.recursiveReadOnly) {
    throw invalidArgument(`${field}.recursive_read_only: not for image mounts`);
  }
  if (mount.propagation !== MountPropagation.PROPAGATION_PRIVATE) {
    throw invalidArgument(`${field}.propagation: image mounts are private`);
  }
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

function toPropagation(
  field: string,
  propagation: MountPropagation,
): NonNullable<NonNullable<DockerMount["BindOptions"]>["Propagation"]> {
  switch (propagation) {
    case MountPropagation.PROPAGATION_PRIVATE:
      return "rprivate";
    case MountPropagation.PROPAGATION_HOST_TO_CONTAINER:
      return "rslave";
    case MountPropagation.PROPAGATION_BIDIRECTIONAL:
      return "rshared";
    default:
      throw invalidArgument(`${field}.propagation: ${String(propagation)} is unknown`);
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
