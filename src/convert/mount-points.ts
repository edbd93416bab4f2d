import { posix } from "node:path";
import type { Mount } from "../gen/runtime/v1/api_pb.js";

/** The mount point as Docker writes it into the OCI spec: "/a//b/../c/" is "/a/c". */
export function mountPoint(containerPath: string): string {
  const path = posix.normalize(containerPath);
  return path.endsWith("/") && path !== "/" ? path.slice(0, -1) : path;
}

/**
 * The mounts that a process sees. Of several at one mount point the last covers the others, as with
 * an OCI runtime that mounts one after the other.
 */
export function effectiveMounts<M extends Pick<Mount, "containerPath">>(mounts: readonly M[]): M[] {
  const last = new Map(mounts.map((mount) => [mountPoint(mount.containerPath), mount]));
  return mounts.filter((mount) => last.get(mountPoint(mount.containerPath)) === mount);
}

/**
 * True when Docker takes the source for its data root, a folder above it or one below it. Docker
 * compares the texts, so /var/lib/docker-data counts for /var/lib/docker.
 * Source: validateBindDaemonRoot in moby's daemon.
 */
export function touchesDataRoot(source: string, dataRoot: string): boolean {
  return source.startsWith(dataRoot) || dataRoot.startsWith(source);
}
