import { decodeSandboxSpec } from "../convert/stored-spec.ts";
import { errorText } from "../errors.ts";
import type { ContainerEntry } from "../index/container-index.ts";
import { podResolvConf, rewriteResolvConf } from "../network/resolv-conf.ts";
import { isAnotherRun } from "./pod-netns.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";

/**
 * Of a pause container that somebody has restarted and that is on its pod's network again: Docker writes the
 * resolv.conf of each start, and all containers of the pod see that file, so it gets the pod's words once more.
 * Never rejects.
 */
export async function restorePod(
  deps: Pick<SandboxDeps, "records" | "engine" | "index" | "facts" | "log">,
  entry: ContainerEntry,
): Promise<void> {
  const record = deps.records.byId(entry.id);
  if (record?.ownNetns === undefined || record.phase !== "ready") return;
  try {
    // An event knows no pid, and a start within seconds of the first one is known by that alone.
    const now = await deps.index.find("podsandbox", entry.id);
    if (now?.state.Running !== true || !isAnotherRun(record, now)) return;
    const config = decodeSandboxSpec(record.config);
    if (config === undefined) throw new Error("its record is damaged");
    const mark = deps.index.mark();
    const inspect = await deps.engine.inspectContainer(entry.id);
    deps.index.observed(inspect, mark);
    const { dockerRootDir } = await deps.facts();
    await rewriteResolvConf(
      inspect.ResolvConfPath,
      await podResolvConf(config.dnsConfig),
      dockerRootDir,
    );
    deps.log.info(
      { podId: entry.id },
      "a pause container was restarted; its pod keeps its network",
    );
  } catch (error) {
    const about = { podId: entry.id, error: errorText(error) };
    deps.log.warn(about, "resolv.conf of a restarted pod could not be written");
  }
}
