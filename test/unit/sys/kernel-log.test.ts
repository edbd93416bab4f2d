import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { KernelLog, oomVictimOf } from "../../../src/sys/kernel-log.ts";

const id = "32cfcd03ba479cb1c26b5b75047ab4be3c7be77452b57995f6c6ef275d4218de";
const kill = (path: string): string =>
  "6,1204,7248431848,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null)," +
  `cpuset=${"0".repeat(64)},mems_allowed=0,oom_memcg=/kubepods/pod1,task_memcg=${path},task=dd,pid=20749,uid=0\n`;

describe("the kernel's log", () => {
  it("names the container whose process was killed, with either cgroup driver", () => {
    expect(oomVictimOf(kill(`/docker/${id}`))).to.equal(id);
    expect(oomVictimOf(kill(`/kubepods.slice/kubepods-pod1.slice/docker-${id}.scope`))).to.equal(
      id,
    );
    expect(oomVictimOf(kill(`/kubepods/pod1/${id}/inner`))).to.equal(id);
    const older = `4,99,1,-;Task in /docker/${id} killed as a result of limit of /docker/${id}\n`;
    expect(oomVictimOf(older)).to.equal(id);
  });

  it("believes the kernel only", () => {
    // Facility 1: written to /dev/kmsg by a process.
    expect(oomVictimOf(kill(`/docker/${id}`).replace(/^6/, "14"))).to.equal(undefined);
    expect(oomVictimOf(kill("/system.slice/other.service"))).to.equal(undefined);
    expect(oomVictimOf(`6,1,1,-;eth0: link of ${id} is up\n`)).to.equal(undefined);
    expect(oomVictimOf("")).to.equal(undefined);
  });

  it("is silent where there is none, and after it was closed", () => {
    const folder = mkdtempSync(join(tmpdir(), "dockline-kmsg-"));
    try {
      const absent = new KernelLog(join(folder, "absent"));
      expect(absent.oomKilled(id)).to.equal(false);
      writeFileSync(join(folder, "kmsg"), kill(`/docker/${id}`));
      const log = new KernelLog(join(folder, "kmsg"));
      expect(log.oomKilled(id)).to.equal(true);
      expect(log.oomKilled("0".repeat(64))).to.equal(false);
      log.close();
      log.close();
      expect(log.oomKilled(id)).to.equal(true);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
