import type { Socket } from "node:net";
import { createDockerEngine } from "../../src/engine/docker-engine.ts";
import type { DockerEngine, DockerEngineOptions } from "../../src/engine/docker-engine.ts";
import type { RequestInfo } from "../../src/engine/call.ts";
import { silentLogger } from "../../src/log.ts";
import { startRawServer } from "./raw-server.ts";
import type { RawServer } from "./raw-server.ts";
import { tempFolder } from "./temp-folder.ts";

/** A server that answers as the test says, and the engine client in front of it. */
export type StartRawEngine = (
  answer: (socket: Socket, head: string, number: number) => void,
  options?: Partial<DockerEngineOptions> & Parameters<typeof startRawServer>[2],
) => Promise<{ engine: DockerEngine; server: RawServer; seen: RequestInfo[] }>;

/** For the suite that calls it: what a test started ends with the test. */
export function rawEngines(): StartRawEngine {
  const folder = tempFolder();
  const open: { engine: DockerEngine; server: RawServer }[] = [];
  let serial = 0;

  const start: StartRawEngine = async (answer, options = {}) => {
    serial += 1;
    const path = folder.path(`${serial}.sock`);
    const server = await startRawServer(path, answer, options);
    const seen: RequestInfo[] = [];
    const engine = createDockerEngine({
      endpoint: `unix://${path}`,
      log: silentLogger,
      onRequest: (info) => seen.push(info),
      ...options,
    });
    open.push({ engine, server });
    return { engine, server, seen };
  };

  afterEach(async () => {
    for (const { engine, server } of open.splice(0)) {
      engine.close();
      await server.close();
    }
  });
  after(() => folder.remove());
  return start;
}
