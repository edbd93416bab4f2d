import { createDockerEngine } from "../../src/engine/docker-engine.ts";
import type { DockerEngine } from "../../src/engine/docker-engine.ts";
import { silentLogger } from "../../src/log.ts";
import { startDockerProxy } from "./docker-proxy.ts";
import type { DockerProxy } from "./docker-proxy.ts";
import { startFakeEngine } from "./fake-engine.ts";
import type { FakeEngineServer } from "./fake-engine.ts";
import { tempFolder } from "./temp-folder.ts";

/** Set again before each test. */
export interface EngineRig {
  fake: FakeEngineServer;
  proxy: DockerProxy;
  engine: DockerEngine;
  /** Of the proxy, for further clients. */
  endpoint: string;
}

/** A client of the fake engine through the proxy, for each test of the suite that calls it; one image is there. */
export function engineRig(): EngineRig {
  const folder = tempFolder();
  const rig = {} as EngineRig;
  let serial = 0;
  beforeEach(async () => {
    serial += 1;
    const [upstream, listen] = [folder.path(`e${serial}`), folder.path(`p${serial}`)];
    rig.fake = await startFakeEngine({ listen: upstream });
    rig.fake.docker.images.add({ references: ["busybox:1"], labels: { fromImage: "1" } });
    rig.proxy = await startDockerProxy({ upstream, listen });
    rig.endpoint = `unix://${listen}`;
    rig.engine = createDockerEngine({ endpoint: rig.endpoint, log: silentLogger });
  });
  afterEach(async () => {
    rig.engine.close();
    await rig.proxy.close();
    await rig.fake.close();
  });
  after(() => folder.remove());
  return rig;
}
