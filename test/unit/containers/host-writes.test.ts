import { expect } from "chai";
import { create } from "@bufbuild/protobuf";
import { encodeContainerSpec } from "../../../src/convert/stored-spec.ts";
import { ContainerConfigSchema } from "../../../src/gen/runtime/v1/api_pb.js";
import { silentLogger } from "../../../src/log.ts";
import {
  applyHostWrites,
  cgroupFile,
  writeCgroupFiles,
} from "../../../src/containers/host-writes.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { modern } from "../convert/support.ts";

const id = "ab".repeat(32);
const memory = { controller: "memory", file: "memory.max" };

describe("the cgroup file of a container", () => {
  it("is below the container's own cgroup, however deep the process is", () => {
    for (const [membership, path] of [
      [`0::/kubepods/podx/${id}`, `/sys/fs/cgroup/kubepods/podx/${id}/memory.max`],
      [`0::/a.slice/docker-${id}.scope`, `/sys/fs/cgroup/a.slice/docker-${id}.scope/memory.max`],
      [`0::/docker/${id}/init.scope`, `/sys/fs/cgroup/docker/${id}/memory.max`],
      [
        `9:cpu,cpuacct:/docker/${id}\n4:memory:/docker/${id}/sub\n1:name=systemd:/docker/${id}`,
        `/sys/fs/cgroup/memory/docker/${id}/memory.max`,
      ],
      // Both versions at once: what v1 has not, v2 has.
      [`4:cpu:/docker/${id}\n0::/docker/${id}`, `/sys/fs/cgroup/docker/${id}/memory.max`],
    ] as const) {
      expect(cgroupFile(membership, memory, id), membership).to.equal(path);
    }
  });

  it("is never one of the whole node: a process about to exit is said to be in the root", () => {
    for (const membership of [
      `9:cpu:/docker/${id}\n4:memory:/\n0::/docker/${id}`,
      "0::/",
      "4:memory:/docker/other",
      "",
      `9:cpu:/docker/${id}`,
    ]) {
      expect(cgroupFile(membership, memory, id), membership).to.equal(undefined);
    }
  });

  it("is left out where the container has none, if the limit says no more than that nothing is taken", async () => {
    // A word of this process's own /proc/self/cgroup, and no container's id: no cgroup is found.
    const word = ":/";
    const none = { controller: "hugetlb", file: "hugetlb.2MB.limit_in_bytes" };
    const write = (value: string, optional: boolean): Promise<void> =>
      writeCgroupFiles(process.pid, word, [{ ...none, value, optional }]);
    await write("0", true);
    const error: unknown = await write("2097152", false).catch((reason: unknown) => reason);
    expect((error as Error | undefined)?.message).to.include("the container has no such cgroup");
  });

  describe("that the process is not in", () => {
    const run = async (runtimeHandler: string): Promise<{ killed: boolean; error: unknown }> => {
      let killed = false;
      // This very process, which is in no container's cgroup.
      const times = { ExitCode: 0, Error: "", StartedAt: "", FinishedAt: "" };
      const state = { Status: "running", Running: true, Pid: process.pid, ...times };
      const linux = { resources: { hugepageLimits: [{ pageSize: "2MB", limit: 1n << 21n }] } };
      const spec = encodeContainerSpec(create(ContainerConfigSchema, { linux }), false);
      const entry = {
        ...{ id, kind: "container", state, inspect: undefined },
        identity: { kind: "container", runtimeHandler, legacy: false, extra: { spec } },
      };
      const deps = {
        facts: () => Promise.resolve(modern),
        index: { find: () => Promise.resolve(entry), touched: () => undefined },
        resources: { get: () => undefined },
        engine: { killContainer: () => Promise.resolve(void (killed = true)) },
        clock: systemClock,
        log: silentLogger,
      };
      const error = await applyHostWrites(deps as never, entry as never).catch(
        (reason: unknown) => reason,
      );
      return { killed, error };
    };

    it("ends a container of runc, which must not run without its limit", async () => {
      const { killed, error } = await run("");
      expect(killed).to.equal(true);
      expect((error as Error).message).to.include("is in no cgroup of the container");
    });

    it("ends no container of a runtime that keeps its processes in a sandbox of its own", async () => {
      expect(await run("runsc")).to.deep.equal({ killed: false, error: undefined });
    });
  });
});
