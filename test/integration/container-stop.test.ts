import { expect } from "chai";
import { ContainerState } from "../../src/gen/runtime/v1/api_pb.js";
import {
  expectError,
  logPathOf,
  readCriLog,
  runToEnd,
  until,
  withContainer,
} from "../support/containers.ts";
import type { TestNode } from "../support/node.ts";
import { createContainer, numberedConfig, startContainer, untilExited } from "../support/pods.ts";
import type { ContainerInit, RunningPod } from "../support/pods.ts";
import { sharedPod } from "../support/shared-pod.ts";

const EXITED = ContainerState.CONTAINER_EXITED;

describe("the end of a container", () => {
  const shared = sharedPod();
  let node: TestNode;
  let pod: RunningPod;
  const config = numberedConfig("e");
  /** Ignores TERM; up when it returns. */
  const stubborn = async (): Promise<string> => {
    const one = config("trap '' TERM; echo up; while :; do sleep 0.1; done");
    const containerId = await startContainer(node, pod, one);
    await until("it is up", () => readCriLog(logPathOf(pod, one)).length > 0);
    return containerId;
  };
  const listed = async (id: string) =>
    (await node.runtime.listContainers({ filter: { id } })).containers[0];
  const seconds = async (work: Promise<unknown>): Promise<number> => {
    const begin = performance.now();
    await work;
    return (performance.now() - begin) / 1000;
  };

  before(() => {
    ({ node, pod } = shared);
  });

  it("is by its own exit code and reason, the same in list and status", async () => {
    const cases: [string, number, string][] = [
      ["true", 0, "Completed"],
      ["exit 3", 3, "Error"],
      ["kill -9 $$", 137, "Error"],
      ["kill -15 $$", 143, "Error"],
    ];
    for (const [line, exitCode, reason] of cases) {
      await withContainer(node, pod, config(line), async (containerId) => {
        const status = await untilExited(node, containerId);
        // A shell that is init ignores the signals that it has no handler for.
        if (!line.startsWith("kill")) {
          expect([status.exitCode, status.reason]).to.deep.equal([exitCode, reason]);
        }
        expect((await listed(containerId))?.state).to.equal(EXITED);
        const times = [status.createdAt, status.startedAt, status.finishedAt];
        expect(times.map(Number)).to.deep.equal(times.map(Number).sort((a, b) => a - b));
      });
    }
  });

  it("is never shown as running once it died at once", async () => {
    for (let round = 0; round < 10; round += 1) {
      const one = config("", { command: ["true"], args: [] });
      const containerId = await startContainer(node, pod, one);
      const states: (ContainerState | undefined)[] = [];
      for (let look = 0; look < 20; look += 1) {
        states.push((await listed(containerId))?.state);
        const { status } = await node.runtime.containerStatus({ containerId });
        states.push(status?.state);
      }
      const first = states.indexOf(EXITED);
      if (first >= 0) expect(states.slice(first).every((state) => state === EXITED)).to.equal(true);
      expect((await untilExited(node, containerId)).exitCode).to.equal(0);
      await node.runtime.removeContainer({ containerId });
    }
  });

  it("is ContainerCannotRun when it could not start, in list and status", async () => {
    const cases: [ContainerInit, number[]][] = [
      [{ command: ["/no/such/binary"], args: [] }, [127, 128]],
      [{ command: ["no-such-binary"], args: [] }, [127, 128]],
      [{ command: ["/etc"], args: [] }, [126, 127, 128]],
    ];
    for (const [fields, codes] of cases) {
      const containerId = await createContainer(node, pod, config("true", fields));
      await expectError(
        node.runtime.startContainer({ containerId }),
        "INTERNAL",
        /start container.*(no such|not found|permission denied|unable to find user|directory)/,
      );
      const { status } = await node.runtime.containerStatus({ containerId });
      expect(status?.state).to.equal(EXITED);
      expect(status?.reason).to.equal("ContainerCannotRun");
      expect(codes).to.include(status?.exitCode);
      expect(status?.message).to.not.equal("");
      expect(Number(status?.finishedAt)).to.be.greaterThan(0);
      expect((await listed(containerId))?.state).to.equal(EXITED);
      const { containers } = await node.runtime.listContainers({
        filter: { state: { state: EXITED } },
      });
      expect(containers.map(({ id }) => id)).to.deep.equal([containerId]);
      await node.runtime.stopContainer({ containerId, timeout: 1n });
      await node.runtime.removeContainer({ containerId });
    }
  });

  it("is an OOM kill when the memory ran out", async () => {
    const eater = config("sleep 0.2; tail -c 200m /dev/zero | tail; echo survived", {
      command: ["tail"],
      args: ["/dev/zero"],
      linux: {
        resources: { memoryLimitInBytes: 16n << 20n, memorySwapLimitInBytes: 16n << 20n },
        securityContext: {},
      },
    });
    const { status } = await runToEnd(node, pod, eater);
    expect([status.exitCode, status.reason]).to.deep.equal([137, "OOMKilled"]);
  });

  it("waits for the grace, then kills", async () => {
    const containerId = await stubborn();
    const took = await seconds(node.runtime.stopContainer({ containerId, timeout: 2n }));
    expect(took).to.be.greaterThan(1.8).and.lessThan(6);
    expect((await untilExited(node, containerId)).exitCode).to.equal(137);
    await node.runtime.removeContainer({ containerId });
  });

  it("comes sooner when a second stop gives less grace", async () => {
    const containerId = await stubborn();
    const first = seconds(node.runtime.stopContainer({ containerId, timeout: 600n }));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await seconds(node.runtime.stopContainer({ containerId, timeout: 0n }))).to.be.lessThan(
      5,
    );
    expect(await first).to.be.lessThan(6);
    expect((await untilExited(node, containerId)).exitCode).to.equal(137);
    await node.runtime.removeContainer({ containerId });
  });

  it("comes with a removal in the midst of a stop, whose caller sees no error", async () => {
    const containerId = await stubborn();
    const stop = node.runtime.stopContainer({ containerId, timeout: 600n });
    await new Promise((resolve) => setTimeout(resolve, 300));
    await node.runtime.removeContainer({ containerId });
    await stop;
    await expectError(node.runtime.containerStatus({ containerId }), "NOT_FOUND", /no container/);
  });

  it("is not hastened by a grace that overflows", async () => {
    for (const timeout of [9_300_000_000n, (1n << 53n) + 1n, (1n << 63n) - 1n]) {
      const containerId = await stubborn();
      const stop = node.runtime.stopContainer({ containerId, timeout });
      await new Promise((resolve) => setTimeout(resolve, 700));
      const { status } = await node.runtime.containerStatus({ containerId });
      expect(status?.state, String(timeout)).to.equal(ContainerState.CONTAINER_RUNNING);
      await node.runtime.removeContainer({ containerId });
      await stop;
    }
  });

  it("goes on when the caller of the stop has gone, and when Dockline was killed", async () => {
    const gone = await stubborn();
    const controller = new AbortController();
    const call = node.runtime.stopContainer(
      { containerId: gone, timeout: 1n },
      { signal: controller.signal },
    );
    setTimeout(() => controller.abort(), 100);
    await expectError(call, "CANCELLED", /.*/);
    expect((await untilExited(node, gone)).exitCode).to.equal(137);
    await node.runtime.removeContainer({ containerId: gone });

    const killed = await stubborn();
    const broken = node.runtime.stopContainer({ containerId: killed, timeout: 1n });
    await new Promise((resolve) => setTimeout(resolve, 200));
    await Promise.all([expectError(broken, "UNAVAILABLE", /.*/), node.kill()]);
    await node.start();
    expect((await untilExited(node, killed)).exitCode).to.equal(137);
    await node.runtime.removeContainer({ containerId: killed });
  });

  it("is asked for again without an error, whatever the container's state", async () => {
    const { runtime } = node;
    for (const containerId of ["f".repeat(64), "nope", "../x", "\u0000"]) {
      await runtime.stopContainer({ containerId, timeout: 1n });
      await runtime.removeContainer({ containerId });
    }
    for (const call of [
      runtime.stopContainer({ containerId: "", timeout: 1n }),
      runtime.removeContainer({ containerId: "" }),
      runtime.startContainer({ containerId: "" }),
      runtime.containerStatus({ containerId: "" }),
    ]) {
      await expectError(call, "INVALID_ARGUMENT", /empty/);
    }
    const containerId = await createContainer(node, pod, config("sleep 1000"));
    await runtime.stopContainer({ containerId, timeout: 1n });
    await runtime.startContainer({ containerId });
    await runtime.stopContainer({ containerId: containerId.slice(0, 13), timeout: 0n });
    await runtime.stopContainer({ containerId, timeout: -5n });
    await Promise.all([0, 1, 2].map(() => runtime.removeContainer({ containerId })));
    await runtime.removeContainer({ containerId });
    await runtime.stopContainer({ containerId, timeout: 1n });
    await expectError(runtime.startContainer({ containerId }), "NOT_FOUND", /no container/);
  });
});
