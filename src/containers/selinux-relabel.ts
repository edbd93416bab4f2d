import { decodeContainerSpec } from "../convert/stored-spec.ts";
import { CriError } from "../errors.ts";
import type { ContainerEntry } from "../index/container-index.ts";
import { runProcess } from "../sys/process.ts";
import type { ContainerDeps } from "./deps.ts";

/** Large volumes have many files, each with an attribute to write. */
const relabelMs = 600_000;
/** The node's own: with a container's label on them it would not boot, or not log in, any more. */
const ofTheNode =
  /^\/(?:|bin|boot|dev|etc(?:\/(?:passwd|group|shadow))?|home|lib|lib64|proc|root|run|sbin|sys|tmp|usr(?:\/(?:bin|lib|lib64|sbin|share))?|var(?:\/(?:lib|log|run|tmp))?)$/;

/**
 * Volumes with `selinux_relabel` get the label that Docker has given the container, on nodes with
 * SELinux. Docker itself relabels for string binds only, which say less than a CRI mount does.
 *
 * @throws InvalidArgument for folders of the node, Internal with chcon's words
 */
export async function relabelVolumes(
  deps: Pick<ContainerDeps, "engine" | "facts" | "hostPaths">,
  container: Pick<ContainerEntry, "id" | "identity">,
  run: typeof runProcess = runProcess,
): Promise<void> {
  const spec = decodeContainerSpec(container.identity.extra.spec);
  const mounts = (spec?.mounts ?? []).filter(
    (mount) => mount.selinuxRelabel && mount.image === undefined,
  );
  if (mounts.length === 0 || !(await deps.facts()).selinuxEnabled) return;
  // Empty for privileged containers, which run unconfined.
  const { MountLabel: label = "" } = await deps.engine.inspectContainer(container.id);
  if (label === "") return;
  for (const { hostPath } of mounts) {
    const path = await deps.hostPaths.existing(hostPath, "selinux_relabel");
    // Links in /proc are not resolved, and may lead to the root.
    if (ofTheNode.test(path) || path.startsWith("/proc/")) {
      throw new CriError("InvalidArgument", `selinux_relabel: ${path} is the node's own folder`);
    }
    const { exitCode, stderr } = await run("chcon", ["-R", label, "--", path], {
      timeoutMs: relabelMs,
    });
    // Network file systems carry one label for all, given at their mount.
    const said = stderr.split("\n").filter((line) => !/not supported|^$/i.test(line));
    if (exitCode !== 0 && said.length > 0) {
      throw new CriError("Internal", `selinux_relabel: ${(said[0] ?? "").slice(0, 300)}`);
    }
  }
}
