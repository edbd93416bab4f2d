import { expect } from "chai";
import { expectError } from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import {
  containerConfig,
  removePod,
  runPod,
  sandboxConfig,
  shell,
  startContainer,
} from "../support/pods.ts";

describe("a pod's sysctls", () => {
  let node: TestNode;
  let start: NodeState;
  before(async () => {
    node = await startNode();
    // The first pod brings its pause image.
    await removePod(node, await runPod(node));
  });
  after(() => node.close());
  beforeEach(() => {
    start = nodeState(node);
  });
  afterEach(() => expectNothingLeft(node, start));

  it("reach the kernel as they are: tabs, blanks and line ends as it prints them", async () => {
    const sysctls = {
      "net.ipv4.ip_local_port_range": "2048\t50000",
      "net.ipv4.ping_group_range": "0 2147483647\n",
      "kernel.sem": "  250\t32000 32\t128 ",
      "net/ipv4/tcp_keepalive_time": "1234",
    };
    const pod = await runPod(node, sandboxConfig(node, { linux: { sysctls } }));
    const id = await startContainer(node, pod, containerConfig("sleep 1000"));
    const seen = await shell(
      node,
      id,
      "cd /proc/sys; cat net/ipv4/ip_local_port_range net/ipv4/ping_group_range kernel/sem net/ipv4/tcp_keepalive_time",
    );
    expect(seen.split("\n").map((line) => line.split(/\s+/).join(" "))).to.deep.equal([
      "2048 50000",
      "0 2147483647",
      "250 32000 32 128",
      "1234",
    ]);
    await removePod(node, pod);
    // What the kernel does not take is an error with its words and the name.
    for (const value of ['"1024 65535"', "many"]) {
      await expectError(
        runPod(
          node,
          sandboxConfig(node, { linux: { sysctls: { "net.ipv4.ip_local_port_range": value } } }),
        ),
        "INTERNAL",
        /ip_local_port_range.*invalid argument/i,
      );
    }
    // Nothing is written for nothing, with any OCI runtime.
    const empty = { "net.ipv4.ip_local_port_range": "" };
    await removePod(node, await runPod(node, sandboxConfig(node, { linux: { sysctls: empty } })));
  });

  it("may name the interfaces that the network plugins make", async () => {
    const name = "net.ipv4.conf.eth0.rp_filter";
    const sysctls = { [name]: "2", "net/ipv4/conf/eth0/arp_ignore": "1\n" };
    const pod = await runPod(node, sandboxConfig(node, { linux: { sysctls } }));
    const id = await startContainer(node, pod, containerConfig("sleep 1000"));
    const seen = await shell(
      node,
      id,
      "cd /proc/sys/net/ipv4/conf; cat eth0/rp_filter eth0/arp_ignore lo/arp_ignore",
    );
    expect(seen.split("\n")).to.deep.equal(["2", "1", "0"]);
    await removePod(node, pod);
    for (const [refused, words] of [
      [{ [name]: "many" }, /conf\/eth0\/rp_filter: .*Invalid argument/],
      [{ "net.ipv4.conf.eth9.rp_filter": "1" }, /conf\/eth9\/rp_filter: .*No such file/],
    ] as const) {
      const config = sandboxConfig(node, { linux: { sysctls: refused } });
      await expectError(runPod(node, config), "INTERNAL", words);
    }
  });
});
