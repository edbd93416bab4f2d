import { existsSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { logPathOf, logText, readCriLog, until, withContainer } from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  hostSandboxConfig,
  removeAllPods,
  runPod,
  startContainer,
  untilExited,
} from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";

/** Fails unless the log counts from `first` to its end, without a gap and without a repetition. */
function expectCounted(text: string, first = 1): number {
  const numbers = text.trimEnd().split("\n").map(Number);
  for (const [index, number] of numbers.entries()) {
    if (number !== index + first) {
      throw new Error(`line ${index + 1} is ${number} after ${numbers[index - 1]}`);
    }
  }
  return numbers.length;
}

describe("container logs over restarts and rotation", () => {
  let node: TestNode;
  let pod: RunningPod;

  beforeEach(async () => {
    node = await startNode({ withoutNetwork: true, args: ["--container-log-max-size=8m"] });
    pod = await runPod(node, hostSandboxConfig(node));
  });
  afterEach(async () => {
    await removeAllPods(node);
    // Without its past, no container has a position.
    await node.terminate();
    await node.start();
    const journal = join(node.stateDir, "logs", "positions.journal");
    await until("it is empty", () => readFileSync(journal, "utf8") === '{"v":1}\n');
    await node.close();
  });

  for (const [how, end] of [
    ["SIGTERM", () => node.terminate()],
    ["kill -9", () => node.kill()],
  ] as const) {
    it(`lose and repeat nothing when Dockline is ended by ${how} in mid-print`, async () => {
      const one = containerConfig("i=0; while :; do i=$((i+1)); echo $i; usleep 300; done");
      await withContainer(node, pod, one, async (containerId) => {
        const path = logPathOf(pod, one);
        for (let turn = 0; turn < 3; turn += 1) {
          const size = readCriLog(path).length;
          await until("it logs on", () => logLines(path) > size + 100);
          await end();
          await new Promise((resolve) => setTimeout(resolve, 150 * turn));
          await node.start();
        }
        await node.runtime.stopContainer({ containerId, timeout: 0n });
        await untilExited(node, containerId);
        expect(expectCounted(logText(readCriLog(path)))).to.be.greaterThan(400);
      });
    });
  }

  for (const [what, lose] of [
    ["Dockline's positions", () => undefined],
    ["positions and log", (path: string) => renameSync(path, `${path}.20260102-030405`)],
    [
      "positions, and the end of the log",
      (path: string) => {
        const log = readFileSync(path);
        writeFileSync(path, log.fill(0, log.length - 700));
      },
    ],
  ] as const)
    it(`lose and repeat nothing when ${what} are gone after a kill`, async () => {
      const one = containerConfig("i=0; while :; do i=$((i+1)); echo $i; usleep 300; done");
      await withContainer(node, pod, one, async (containerId) => {
        const path = logPathOf(pod, one);
        await until("it logs", () => logLines(path) > 300);
        await node.kill();
        rmSync(join(node.stateDir, "logs"), { recursive: true });
        lose(path);
        await node.start();
        await until("it logs on", () => existsSync(path) && logLines(path) > 600);
        await node.runtime.reopenContainerLog({ containerId });
        await node.runtime.stopContainer({ containerId, timeout: 0n });
        await untilExited(node, containerId);
        const rotated = `${path}.20260102-030405`;
        const before = existsSync(rotated) ? logText(readCriLog(rotated)) : "";
        expect(expectCounted(before + logText(readCriLog(path)))).to.be.greaterThan(600);
      });
    });

  it("are brought up to date when the container ended while Dockline was away", async () => {
    const one = containerConfig("sleep 1; seq 1 20000; exit 4");
    const containerId = await startContainer(node, pod, one);
    await node.kill();
    await until(
      "it ended",
      async () => !(await node.docker.inspectContainer(containerId)).State.Running,
    );
    await node.start();
    expect((await untilExited(node, containerId)).exitCode).to.equal(4);
    expect(expectCounted(logText(readCriLog(logPathOf(pod, one))))).to.equal(20_000);
  });

  it("keep up with Docker's rotation under 100 MB of fast printing", async () => {
    // 1 000 000 lines of 99 characters and a newline, numbered by awk.
    const one = containerConfig(
      'awk \'BEGIN{pad=sprintf("%091d",0); for(i=1;i<=1000000;i++) printf "%08d%s\\n", i, pad}\'',
    );
    const containerId = await startContainer(node, pod, one);
    await untilExited(node, containerId, 90_000);
    const path = logPathOf(pod, one);
    // Read as bytes: 100 MB of lines as objects would take a gigabyte.
    const log = readFileSync(path);
    let expected = 0;
    for (let at = 0; at < log.length;) {
      const end = log.indexOf(10, at);
      const line = log.toString("latin1", at, end);
      expected += 1;
      const [, stream, tag, text = ""] = line.split(" ");
      if (stream !== "stdout" || tag !== "F" || Number(text.slice(0, 8)) !== expected) {
        throw new Error(`line ${expected}: ${line.slice(0, 120)}`);
      }
      at = end + 1;
    }
    expect(expected).to.equal(1_000_000);
    const { LogPath } = await node.docker.inspectContainer(containerId);
    const rotated = readdirSync(dirname(LogPath)).filter((name) => name.includes("-json.log."));
    expect(rotated).to.have.length.greaterThan(1);
  }).timeout(120_000);
});

function logLines(path: string): number {
  return readFileSync(path, "latin1").split("\n").length;
}
