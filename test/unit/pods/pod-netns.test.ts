import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { AskedName } from "../../../src/convert/names.ts";
import { NEVER } from "../../../src/index/container-state.ts";
import { netnsInode } from "../../../src/network/netns.ts";
import {
  attachedNetns,
  foreignNetns,
  hasLostNetwork,
  podNetns,
} from "../../../src/pods/pod-netns.ts";
import type { PauseFacts } from "../../../src/pods/pod-netns.ts";
import type { SandboxRecord } from "../../../src/state/sandbox-records.ts";
import { until } from "../../support/until.ts";

const startedAt = "2026-01-02T03:04:05.123456789Z";
const at = (time: string): string => `2026-01-02T${time}Z`;

describe("the network namespace of a pod", () => {
  const folder = mkdtempSync(join(tmpdir(), "dockline-netns-"));
  const children: ChildProcess[] = [];
  after(async () => {
    rmSync(folder, { recursive: true });
    for (const child of children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill("SIGKILL");
      await once(child, "exit");
    }
  });

  /** A process that stands for a pause container, in a namespace of its own or in the host's. */
  const pause = async (own = true): Promise<{ pid: number; end: () => Promise<void> }> => {
    const command = own ? ["unshare", "-n", "sleep", "1000"] : ["sleep", "1000"];
    const child = spawn(command[0]!, command.slice(1), { stdio: "ignore" });
    children.push(child);
    const pid = child.pid!;
    const host = readlinkSync("/proc/self/ns/net");
    if (own) await until(() => readlinkSync(`/proc/${pid}/ns/net`) !== host);
    return {
      pid,
      end: async () => {
        child.kill("SIGKILL");
        await once(child, "exit");
      },
    };
  };
  const facts = (Pid: number, SandboxKey = ""): PauseFacts => ({
    State: { Pid, StartedAt: startedAt },
    NetworkSettings: { SandboxKey },
  });
  const isIn = (): boolean => true;
  const record = (more: Partial<SandboxRecord> = {}): SandboxRecord => ({
    ...{ name: "k8s_POD_a_b_c_0" as AskedName, id: "abc", phase: "ready", configHash: "" },
    ...{ hostNetwork: false, config: "", runtimeHandler: "", createdAtNs: "0", network: {} },
    ips: ["10.0.0.1"],
    ...more,
  });

  it("is the pause process's, and kept with what tells it from another one", async () => {
    const { pid } = await pause();
    const asked: [number, string][] = [];
    const found = await podNetns("abc", facts(pid, "/key"), (...of) => asked.push(of) > 0);
    const path = `/proc/${pid}/ns/net`;
    expect(found).to.deep.equal({
      path,
      run: { pid, startedAt, netnsInode: await netnsInode(path) },
    });
    expect(asked[0]).to.deep.equal([pid, "abc"]);
  });

  it("is Docker's path where the process is another container's, in the host's, or gone", async () => {
    const own = await pause();
    expect(await podNetns("abc", facts(own.pid, "/key"), () => false)).to.deep.equal({
      path: "/key",
    });
    // The look at the cgroup says that the pid was given away between.
    let looks = 0;
    const givenAway = (): boolean => (looks += 1) === 1;
    expect(await podNetns("abc", facts(own.pid, "/key"), givenAway)).to.deep.equal({
      path: "/key",
    });
    const host = await pause(false);
    expect(await podNetns("abc", facts(host.pid, "/key"), isIn)).to.deep.equal({ path: "/key" });
    await own.end();
    expect(await podNetns("abc", facts(own.pid, "/key"), isIn)).to.deep.equal({ path: "/key" });
    expect(await podNetns("abc", facts(0), isIn)).to.deep.equal({ path: "" });
  });

  it("is gone for DEL and port-forwards with that run of the pause container", async () => {
    const first = await pause();
    const { run, path } = await podNetns("abc", facts(first.pid), isIn);
    const kept = record({ netns: folder, pauseRun: run! });
    expect(await attachedNetns(kept, isIn)).to.equal(path);
    expect(await attachedNetns(kept, () => false), "another container's process").to.equal("");
    const other = { ...run!, netnsInode: "0:1" };
    expect(await attachedNetns({ ...kept, pauseRun: other }, isIn), "another one").to.equal("");
    const host = { ...run!, pid: process.pid };
    expect(await attachedNetns({ ...kept, pauseRun: host }, isIn), "the host's").to.equal("");
    await first.end();
    expect(await attachedNetns(kept, isIn)).to.equal("");
  });

  it("is at Docker's path as long as that pins it, for a DEL after an end that Docker does not notice", async () => {
    const first = await pause();
    const { run } = await podNetns("abc", facts(first.pid), isIn);
    const bound = join(folder, "bound");
    writeFileSync(bound, "");
    execFileSync("mount", ["--bind", `/proc/${first.pid}/ns/net`, bound]);
    try {
      const kept = record({ netns: bound, pauseRun: run! });
      await first.end();
      expect(await attachedNetns(kept, isIn)).to.equal(bound);
      const other = { ...run!, netnsInode: "0:1" };
      expect(await attachedNetns({ ...kept, pauseRun: other }, isIn), "another one").to.equal("");
    } finally {
      execFileSync("umount", [bound]);
    }
    expect(await attachedNetns(record({ netns: bound, pauseRun: run! }), isIn)).to.equal("");
  });

  it("is at Docker's path for pods of an earlier release", async () => {
    const path = `/proc/${(await pause()).pid}/ns/net`;
    expect(await attachedNetns(record({ netns: path }))).to.equal(path);
    // Docker leaves the empty file for a while.
    for (const netns of [folder, join(folder, "gone"), "/proc/self/ns/net"]) {
      expect(await attachedNetns(record({ netns })), netns).to.equal("");
    }
    expect(await attachedNetns(record())).to.equal("");
  });

  it("of another runtime's pod is at Docker's path, and the process's where dockerd has mounts of its own", async () => {
    const { pid } = await pause();
    const path = `/proc/${pid}/ns/net`;
    const bound = `/proc/${(await pause()).pid}/ns/net`;
    expect(await foreignNetns("abc", facts(pid, bound), isIn)).to.equal(bound);
    // What others see of Docker's bind mount is the plain file below it.
    const plain = join(folder, "key");
    writeFileSync(plain, "");
    expect(await foreignNetns("abc", facts(pid, plain), isIn)).to.equal(path);
    expect(await foreignNetns("abc", facts(pid, plain), () => false)).to.equal("");
  });

  describe("is lost", () => {
    const run = { pid: 100, startedAt, netnsInode: "4:1" };
    type Entry = Parameters<typeof hasLostNetwork>[1];
    const entry = (more: object = {}, dirty = false, key?: string): Entry =>
      ({
        state: { Running: true, Pid: 100, StartedAt: startedAt, ...more },
        inspect: key === undefined ? undefined : { NetworkSettings: { SandboxKey: key } },
        dirty,
      }) as unknown as Entry;
    const kept = record({ pauseRun: run, netns: "/var/run/docker/netns/a" });

    for (const [what, state, dirty] of [
      ["the pause container runs as another process", { Pid: 101, StartedAt: at("03:04:09") }],
      ["an event tells of a later start", { Pid: 0, StartedAt: at("03:09:00") }, true],
      ["the pid came round again", { StartedAt: at("09:00:00") }],
      ["the clock was set back since", { StartedAt: at("01:00:00") }],
    ] as const) {
      it(`when ${what}`, () => {
        expect(hasLostNetwork(kept, entry(state, dirty))).to.equal(true);
        const host = { ...kept, hostNetwork: true };
        expect(hasLostNetwork(host, entry(state, dirty)), "not the host's").to.equal(false);
      });
    }

    it("not by what an event or a list tells of the same run", () => {
      expect(hasLostNetwork(kept, entry())).to.equal(false);
      const told = entry({ Pid: 0, StartedAt: at("03:04:07.5") }, true);
      expect(hasLostNetwork(kept, told)).to.equal(false);
      expect(hasLostNetwork(kept, entry({ Pid: 0, StartedAt: NEVER }))).to.equal(false);
      expect(hasLostNetwork(kept, entry({ Running: false, Pid: 101 }))).to.equal(false);
    });

    it("for a pod of an earlier release when Docker names another namespace", async () => {
      const early = record({ netns: join(folder, "old") });
      writeFileSync(join(folder, "old"), "");
      const now = (key: string, dirty = false): Entry => entry({}, dirty, key);
      expect(hasLostNetwork(early, now(join(folder, "new")))).to.equal(true);
      expect(hasLostNetwork(early, now(join(folder, "new"), true)), "not sure").to.equal(false);
      expect(hasLostNetwork(early, now(join(folder, "old")))).to.equal(false);
      expect(hasLostNetwork(early, entry()), "not inspected").to.equal(false);
      const there = record({ netns: `/proc/${(await pause()).pid}/ns/net` });
      expect(hasLostNetwork(there, now(join(folder, "new"))), "still there").to.equal(false);
    });
  });
});
