import { realpath } from "node:fs/promises";
import { CriError } from "../errors.ts";
import type { Mount } from "../gen/runtime/v1/api_pb.js";
import { isErrno } from "../sys/fs.ts";

/**
 * Mounts with their host paths resolved: Docker would bind a symlink's name, and whoever owns the
 * folder could turn it elsewhere between two restarts. A missing path is the caller's error: only
 * the kubelet's hostPath types make folders.
 */
export async function requireHostPaths(mounts: readonly Mount[]): Promise<Mount[]> {
  return await Promise.all(
    mounts.map(async (mount, index) => {
      if (mount.image !== undefined || !mount.hostPath.startsWith("/")) return mount;
      try {
        return { ...mount, hostPath: await realpath(mount.hostPath) };
      } catch (error) {
        if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "EACCES", "ENAMETOOLONG")) {
          throw new CriError(
            "InvalidArgument",
            `mounts[${index}].host_path: ${JSON.stringify(mount.hostPath)} does not exist`,
          );
        }
        // A NUL or the like: the translation names the field.
        if (isErrno(error, "ERR_INVALID_ARG_VALUE")) return mount;
        throw error;
      }
    }),
  );
}
