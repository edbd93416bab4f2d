import { existsSync, readFileSync, readdirSync, readlinkSync } from "node:fs";
import { expect } from "chai";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  hostSandboxConfig,
  removeAllPods,
  runPod,
  shell,
  startContainer,
} from "../support/pods.ts";

/** Addresses on which a process listens, and the names of its unix sockets. */
function listens(pid: number): { tcp: string[]; unix: string[] } {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [/^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? ""];
      } catch {
        return [];
      }
    }),
  );
  const rows = (table: string): string[][] =>
    readFileSync(`/proc/${pid}/net/${table}`, "utf8")
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/));
  const tcp = ["tcp", "tcp6"].flatMap((table) =>
    rows(table)
      .filter((row) => row[3] === "0A" && inodes.has(row[9] ?? ""))
      .map((row) => row[1] ?? ""),
  );
  const unix = rows("unix")
    .filter((row) => inodes.has(row[6] ?? "") && row[7] !== undefined)
    .map((row) => row[7] ?? "");
  return { tcp, unix };
}

describe("who can reach Dockline", () => {
  let node: TestNode;

  before(async () => {
    // What an inspector in a process of root would need.
    node = await startNode({ environment: { NODE_OPTIONS: "--inspect=127.0.0.1:0" } });
  });
  after(async () => {
    await removeAllPods(node);
    await node.close();
  });

  it("is at paths and on one port of 127.0.0.1, never at an abstract name", () => {
    const { tcp, unix } = listens(node.pid);
    expect(unix).to.include(node.endpoint.replace("unix://", ""));
    expect(unix.filter((name) => name.startsWith("@"))).to.deep.equal([]);
    // 127.0.0.1 as the kernel writes it.
    expect(tcp.map((address) => address.split(":")[0])).to.deep.equal(["0100007F"]);
  });

  it("finds no debugger, neither by NODE_OPTIONS nor by SIGUSR1", async () => {
    process.kill(node.pid, "SIGUSR1");
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(existsSync(`/proc/${node.pid}`)).to.equal(true);
    expect(node.log()).to.not.match(/debugger listening/i);
    expect(listens(node.pid).tcp).to.have.length(1);
    expect(readFileSync(`/proc/${node.pid}/environ`, "latin1")).to.not.include("NODE_OPTIONS");
    await node.runtime.version({});
  });

  it("gets nothing from a container on the host's network without a token", async () => {
    const pod = await runPod(node, hostSandboxConfig(node));
    const containerId = await startContainer(node, pod, containerConfig("sleep 1000"));
    const { url } = await node.runtime.exec({ containerId, cmd: ["id"], stdout: true });
    const { port, pathname } = new URL(url);
    const guess = `${pathname.slice(0, -4)}AAAA`;
    const ask = (path: string): Promise<string> =>
      shell(
        node,
        containerId,
        `printf 'POST ${path} HTTP/1.1\\r\\nHost: node\\r\\nConnection: Upgrade\\r\\nUpgrade: SPDY/3.1\\r\\n` +
          `X-Stream-Protocol-Version: v4.channel.k8s.io\\r\\n\\r\\n' | nc -w 3 127.0.0.1 ${port} | head -1`,
      );
    expect(await ask(guess)).to.match(/^HTTP\/1\.1 404 /);
    expect(await ask("/exec/")).to.match(/^HTTP\/1\.1 404 /);
    // Its file system has none of our sockets.
    expect(await shell(node, containerId, `ls ${node.folder} 2>&1 || true`)).to.match(/no such/i);
  });

  it("is not reached from a pod's own network", async () => {
    const pod = await runPod(node);
    const containerId = await startContainer(node, pod, containerConfig("sleep 1000"));
    const { url } = await node.runtime.exec({ containerId, cmd: ["id"], stdout: true });
    const { port } = new URL(url);
    const line = "ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p'";
    const gateway = await shell(node, containerId, line);
    expect(gateway).to.match(/^\d+\.\d+\.\d+\.\d+$/);
    for (const address of ["127.0.0.1", gateway]) {
      const answer = await shell(
        node,
        containerId,
        `nc -w 2 ${address} ${port} </dev/null; echo $?`,
      );
      expect(answer, address).to.not.equal("0");
    }
  });
});
