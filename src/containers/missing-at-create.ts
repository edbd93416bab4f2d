import { CriError, errorText } from "../errors.ts";
import { isStatus } from "../engine/errors.ts";
import type { DockerMount } from "../engine/types.ts";
import type { Mount } from "../gen/runtime/v1/api_pb.js";

/** What a container to be made refers to. */
export interface References {
  readonly image: string;
  readonly podSandboxId: string;
  /** Of a debug container: whose process namespace it joins; "" for others. */
  readonly targetId: string;
  readonly mounts: readonly Pick<Mount, "hostPath" | "containerPath">[];
  /** What the engine was given of them: some only, with their links resolved. */
  readonly made: readonly Pick<DockerMount, "Source" | "Target">[];
}

/**
 * What the engine misses or cannot make, when that is why it refused a create; else undefined. Docker looks up the image, the images
 * and host paths of mounts and the containers whose namespaces are joined, and says only in words which of them is not
 * there: with status 404, of host paths with 400, and newer engines of containers with 400 too.
 */
export function missingAtCreate(error: unknown, of: References): CriError | undefined {
  // Docker makes the folder at the create, and calls it a failure of its own when a file is in the way.
  const file = isStatus(error, 500) && /Cannot mkdir: (.*) is not a directory/s.exec(error.message);
  if (file) {
    const why = `working_dir: ${JSON.stringify(file[1])} is no folder in the image ${of.image}`;
    return new CriError("InvalidArgument", why, { cause: error });
  }
  if (!isStatus(error, 404) && !isStatus(error, 400)) return undefined;
  const { message } = error;
  const options = { cause: error };
  if (/no such container/i.test(message)) {
    const target = of.targetId !== "" && message.includes(of.targetId);
    return target
      ? new CriError(
          "FailedPrecondition",
          `create container: the container to debug, ${of.targetId}, is gone`,
          options,
        )
      : new CriError(
          "NotFound",
          `create container: pod sandbox ${of.podSandboxId} is gone`,
          options,
        );
  }
  const source = /bind source path does not exist: (.*)$/s.exec(message)?.[1];
  if (source !== undefined) return missingSource(source, of, error);
  const runtime =
    /(?:unknown or invalid runtime name|unknown runtime specified|unknown runtime):? "?([^\s"]+)/i.exec(
      message,
    );
  if (runtime !== null) {
    return new CriError(
      "FailedPrecondition",
      `create container: Docker has no runtime ${runtime[1]} (any more)`,
      options,
    );
  }
  if (!isStatus(error, 404)) return undefined;
  const named = /no such image: (\S+)/i.exec(message)?.[1];
  if (named === undefined) {
    // A volume, a network: the image and the sandbox are there, and NOT_FOUND would be read as one of them.
    return new CriError("FailedPrecondition", `create container: ${errorText(error)}`, options);
  }
  return sameImage(named, of.image)
    ? new CriError("NotFound", `create container: no image ${of.image} on this node`, options)
    : new CriError(
        "NotFound",
        `create container: no image ${named} on this node, for a mount`,
        options,
      );
}

/** A path of /proc that nobody can make, or one that was removed after it had been looked at. */
function missingSource(source: string, of: References, cause: Error): CriError {
  const target = of.made.find((mount) => mount.Source === source)?.Target;
  const index = of.mounts.findLastIndex(({ containerPath }) => containerPath === target);
  const asked = of.mounts[index]?.hostPath ?? source;
  const field = index === -1 ? "mounts" : `mounts[${index}].host_path`;
  const why = `${field}: ${JSON.stringify(asked)}: ENOENT: no such file or directory`;
  return new CriError("FailedPrecondition", why, { cause });
}

/** Docker completes a name ("busybox" is "busybox:latest") and shortens none. */
function sameImage(named: string, asked: string): boolean {
  const bare = (name: string): string =>
    name.replace(/^docker\.io\/(?:library\/)?/, "").replace(/:latest$/, "");
  return bare(named) === bare(asked);
}
