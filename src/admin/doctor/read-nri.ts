import { listenersOn } from "../dockerd-process.ts";
import type { DaemonFacts, NriFacts } from "./facts.ts";
import { readSocket } from "./read-files.ts";

/** Where containerd and CRI-O serve it, and plugins connect. */
const usualSocket = "/var/run/nri/nri.sock";

export async function readNri(
  { nri }: Pick<DaemonFacts, "nri">,
  path = usualSocket,
): Promise<NriFacts> {
  const docker = nri === true;
  const { answers } = await readSocket(path);
  if (!answers) return { path, docker };
  const [owner] = listenersOn(path);
  return {
    path,
    docker,
    listener: owner === undefined ? "somebody" : `${owner.name} (pid ${owner.pid})`,
  };
}
