import { randomBytes } from "node:crypto";
import { expect } from "chai";
import { createDockerEngine, type DockerEngine } from "../../src/engine/docker-engine.ts";
import { formatTimeNs, parseTimeNs } from "../../src/convert/time.ts";
import type { ContainerCreate, ContainerInspect } from "../../src/engine/types.ts";
import type { ContainerEntry, ContainerIndex } from "../../src/index/container-index.ts";
import { createContainerIndex } from "../../src/index/create-index.ts";
import { silentLogger } from "../../src/log.ts";
import { systemClock } from "../../src/sys/clock.ts";
import { toSandboxLabels } from "../../src/convert/labels.ts";
import { sandboxName } from "../../src/convert/names.ts";
import { create } from "@bufbuild/protobuf";
import { PodSandboxConfigSchema } from "../../src/gen/runtime/v1/api_pb.js";
import { engineSocket } from "../support/node.ts";
import { busybox, ensureTestImages } from "../support/test-images.ts";

const rounds = Number(process.env["DOCKLINE_AGREE_ROUNDS"] ?? 120);
const uid = `agree-${randomBytes(4).toString("hex")}`;

/** What list, status and engine must say alike. */
function facts(state: ContainerInspect["State"], created: string, name: string): object {
  return { ...state, OOMKilled: state.OOMKilled, created, name: name.replace(/^\//, "") };
}

describe("the index and a real engine", () => {
  let engine: DockerEngine;
  let index: ContainerIndex;
  const ours = new Set<string>();

  before(async function () {
    this.timeout(60_000);
    engine = createDockerEngine({ endpoint: `unix://${engineSocket}`, log: silentLogger });
    await ensureTestImages(engine);
    index = createContainerIndex({ engine, clock: systemClock, log: silentLogger });
    index.start();
    for (let tries = 0; !index.health.synced && tries < 500; tries += 1)
      await systemClock.sleep(10);
  });
  after(async function () {
    this.timeout(60_000);
    for (const id of ours) await engine.removeContainer(id).catch(() => undefined);
    await index.close();
    engine.close();
  });

  async function oursListed(): Promise<ContainerEntry[]> {
    const entries = await index.sandboxes();
    return entries.filter(
      ({ identity }) => identity.kind === "podsandbox" && identity.metadata.uid === uid,
    );
  }

  it(`agree after ${rounds} random changes, by our hand and by others'`, async function () {
    this.timeout(180_000);
    let serial = 0;
    const add = async (tell: boolean): Promise<void> => {
      const metadata = { name: "p", namespace: "test", uid, attempt: ++serial };
      const name = sandboxName(metadata);
      const config = create(PodSandboxConfigSchema, { metadata });
      const ends = serial % 3 === 0 ? ["sh", "-c", "exit 3"] : ["sleep", "1000"];
      const body: ContainerCreate = {
        Image: busybox,
        Cmd: serial % 7 === 0 ? ["/no/such/program"] : ends,
        Labels: toSandboxLabels(config, "", name),
        HostConfig: { NetworkMode: "none" },
      };
      const { id } = await engine.createContainer(name, body);
      ours.add(id);
      if (tell) index.created(id, name, body);
    };
    for (let round = 0; round < rounds; round += 1) {
      const ids = [...ours];
      const id = ids[round % Math.max(ids.length, 1)];
      const tell = round % 2 === 0;
      if (id === undefined || (round % 5 === 0 && ids.length < 10)) await add(tell);
      else if (round % 5 < 3) {
        const started = await engine.startContainer(id).catch(() => undefined);
        if (tell) index.touched(id, started === true ? "running" : undefined);
      } else if (round % 5 === 3) {
        const killed = await engine.killContainer(id, "SIGKILL").then(
          () => true,
          () => false,
        );
        if (tell) index.touched(id, killed ? "exited" : undefined);
        if (tell && killed) {
          const shown = (await oursListed()).find((entry) => entry.id === id);
          expect(shown?.state.Running, "own kill in the next list").to.equal(false);
        }
      } else if (ids.length > 6) {
        await engine.removeContainer(id);
        ours.delete(id);
        if (tell) {
          index.removed(id);
          expect((await oursListed()).some((entry) => entry.id === id)).to.equal(false);
        }
      }
      if (round % 10 === 9) {
        // What another client did is known by its event; a reconcile would take 7.5 s.
        await systemClock.sleep(300);
        const listed = await oursListed();
        expect(listed.map((entry) => entry.id).sort()).to.deep.equal([...ours].sort());
        for (const entry of listed) {
          const truth = await engine.inspectContainer(entry.id);
          const created = formatTimeNs(parseTimeNs(truth.Created));
          const expected = facts(truth.State, created, truth.Name);
          expect(entry.dirty, entry.name).to.equal(false);
          const shown = facts(entry.state, formatTimeNs(entry.createdAtNs), `/${entry.name}`);
          expect(shown).to.deep.equal(expected);
          expect(await index.find("podsandbox", entry.id)).to.equal(entry);
        }
      }
    }
  });
});
