import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { works } from "../support/fields.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { leavesNothing } from "../support/oracle.ts";
import {
  hostSandboxConfig,
  removePod,
  runPod,
  sandboxConfig,
  shell,
  sleepingMember,
} from "../support/pods.ts";
import type { SandboxInit } from "../support/pods.ts";

describe("the DNS of a sandbox", () => {
  let node: TestNode;

  before(async () => {
    node = await startNode();
    await removePod(node, await runPod(node, hostSandboxConfig(node)));
  });
  after(async () => {
    await node.close();
  });
  leavesNothing(() => node);

  it("hostname and DNS are seen by members", async () => {
    works(
      "PodSandboxConfig.hostname",
      "DNSConfig.servers",
      "DNSConfig.searches",
      "DNSConfig.options",
    );
    const dnsConfig = {
      servers: ["10.96.0.10", "fd00::a"],
      searches: ["test.svc.cluster.local", "cluster.local"],
      options: ["ndots:5", "edns0"],
    };
    const pod = await runPod(node, sandboxConfig(node, { hostname: "web-0", dnsConfig }));
    const id = await sleepingMember(node, pod);
    expect(await shell(node, id, "hostname")).to.equal("web-0");
    expect(await shell(node, id, "cat /etc/resolv.conf")).to.equal(
      "nameserver 10.96.0.10\nnameserver fd00::a\n" +
        "search test.svc.cluster.local cluster.local\noptions ndots:5 edns0",
    );
    await removePod(node, pod);
  });

  it("DNS that nobody configured is not made up: an empty file, the host's, or only what was said", async () => {
    const host = readFileSync("/etc/resolv.conf", "utf8").trimEnd();
    const cases: [SandboxInit, string][] = [
      [{ dnsConfig: {} }, ""],
      [{}, host],
      [{ dnsConfig: { searches: ["a.b", "."] } }, "search a.b ."],
      [{ dnsConfig: { options: ["ndots:2"] } }, "options ndots:2"],
    ];
    for (const [fields, text] of cases) {
      for (const config of [sandboxConfig(node, fields), hostSandboxConfig(node, fields)]) {
        const pod = await runPod(node, config);
        const id = await sleepingMember(node, pod);
        const seen = await shell(node, id, "cat /etc/resolv.conf");
        expect(seen, JSON.stringify([fields, config.hostname])).to.equal(text);
        await removePod(node, pod);
      }
    }
    expect(readFileSync("/etc/resolv.conf", "utf8").trimEnd()).to.equal(host);
  });

  it("DNS is the node's own, also where it names no server or one that a pod cannot reach", async () => {
    const folder = mkdtempSync(join(tmpdir(), "dockline-dns-"));
    const under = process.env["DOCKLINE_TEST_UNDER"] ?? "";
    const [script, file] = [join(folder, "under"), join(folder, "resolv.conf")];
    // Dockline sees another /etc/resolv.conf; the engine and the machine keep theirs.
    const mount = `mount --bind ${file} "$(realpath /etc/resolv.conf)"`;
    writeFileSync(script, `#!/bin/sh\n${mount} && exec "$@"\n`, { mode: 0o755 });
    writeFileSync(file, "");
    process.env["DOCKLINE_TEST_UNDER"] = `unshare --mount ${script} ${under}`;
    try {
      await node.terminate();
      await node.start();
      for (const text of ["", "nameserver 127.0.0.53\noptions edns0", "search a.b"]) {
        writeFileSync(file, text);
        // With the host's network: the mounts of new network namespaces do not show in there.
        const pod = await runPod(node, hostSandboxConfig(node));
        const id = await sleepingMember(node, pod);
        expect(await shell(node, id, "cat /etc/resolv.conf")).to.equal(text);
        await removePod(node, pod);
      }
    } finally {
      process.env["DOCKLINE_TEST_UNDER"] = under;
      await node.terminate();
      await node.start();
      rmSync(folder, { recursive: true });
    }
  });

  it("DNS with the host's network is written too, and the host's file stays", async () => {
    const host = readFileSync("/etc/resolv.conf", "utf8");
    const config = hostSandboxConfig(node, { dnsConfig: { servers: ["10.96.0.10"] } });
    const pod = await runPod(node, config);
    const id = await sleepingMember(node, pod);
    expect(await shell(node, id, "cat /etc/resolv.conf")).to.equal("nameserver 10.96.0.10");
    expect(readFileSync("/etc/resolv.conf", "utf8")).to.equal(host);
    await removePod(node, pod);
  });
});
