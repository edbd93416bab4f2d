import type { Config } from "../../config/options.ts";
import { commandLineOf, listenersOn } from "../dockerd-process.ts";
import type { DaemonFacts, NriFacts } from "./facts.ts";
import { readSocket } from "./read-files.ts";

/** Who listens where plugins connect. */
export async function readNri(
  { nri }: Pick<DaemonFacts, "nri">,
  { enableNri, nriListen }: Pick<Config, "enableNri" | "nriListen">,
  path = nriListen,
): Promise<NriFacts> {
  const known = { path, docker: nri === true, enabled: enableNri };
  const { answers } = await readSocket(path);
  if (!answers) return known;
  const [owner] = listenersOn(path);
  if (owner !== undefined && isDockline(owner.pid)) return { ...known, own: true };
  return {
    ...known,
    listener: owner === undefined ? "somebody" : `${owner.name} (pid ${owner.pid})`,
  };
}

/** "dockline serve …", run by Node or as a bundle. */
function isDockline(pid: number): boolean {
  const [, ...args] = commandLineOf(pid);
  return args.includes("serve") && args.some((argument) => argument.includes("dockline"));
}
