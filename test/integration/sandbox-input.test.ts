import { readlinkSync } from "node:fs";
import { expect } from "chai";
import { create, toBinary } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import {
  NamespaceMode,
  PodSandboxConfigSchema,
  PodSandboxState,
  type Protocol,
  SecurityProfile_ProfileType,
} from "../../src/gen/runtime/v1/api_pb.js";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { leavesNothing, nodeState } from "../support/oracle.ts";
import { hostSandboxConfig, removePod, runPod, sandboxConfig } from "../support/pods.ts";
import type { SandboxInit } from "../support/pods.ts";
import { rpcFailure } from "../support/rpc-failure.ts";

const pid = NamespaceMode.CONTAINER;
// As a newer kubelet could send it.
const unknownProtocol = JSON.parse("9") as Protocol;

/** What must be refused before anything exists, by what is wrong with it. */
const refused: Record<string, { change: SandboxInit; code?: string; handler?: string }> = {
  "no name": { change: { metadata: { name: "" } } },
  "an empty namespace": { change: { metadata: { namespace: "" } } },
  "an empty uid": { change: { metadata: { uid: "" } } },
  "a name of two dots with a slash": { change: { metadata: { name: "../x" } } },
  "an underscore in the name": { change: { metadata: { name: "a_b" } } },
  "a NUL in the name": { change: { metadata: { name: "a\0b" } } },
  "a newline in the namespace": { change: { metadata: { namespace: "a\nb" } } },
  "a unicode name": { change: { metadata: { name: "pöd" } } },
  "a name of 300 letters": { change: { metadata: { name: "a".repeat(300) } } },
  "a hostname of 65 bytes": { change: { hostname: "h".repeat(65) } },
  "a newline in the hostname": { change: { hostname: "a\nb" } },
  "a newline in a DNS server": { change: { dnsConfig: { servers: ["1.1.1.1\noptions x"] } } },
  "a newline in a DNS search": { change: { dnsConfig: { searches: ["a\nnameserver 6.6.6.6"] } } },
  "a NUL in a DNS option": { change: { dnsConfig: { options: ["ndots:5\0"] } } },
  "a blank in a DNS server": { change: { dnsConfig: { servers: ["192.0.2.53 x"] } } },
  "a host port beyond 65535": {
    change: { portMappings: [{ hostPort: 70_000, containerPort: 80 }] },
  },
  "a container port of 0": { change: { portMappings: [{ hostPort: 8080, containerPort: 0 }] } },
  "an unknown protocol": {
    change: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: unknownProtocol }] },
  },
  "a sysctl of the node": { change: { linux: { sysctls: { "vm.swappiness": "1" } } } },
  "a sysctl with dots up": { change: { linux: { sysctls: { "net/../kernel/x": "1" } } } },
  "a NUL in a sysctl": { change: { linux: { sysctls: { "net.core.somaxconn": "1\0" } } } },
  "a cgroup parent with ..": { change: { linux: { cgroupParent: "/kubepods/../.." } } },
  "a NUL in the cgroup parent": { change: { linux: { cgroupParent: "/a\0b" } } },
  "a negative user": {
    change: {
      linux: { securityContext: { namespaceOptions: { pid }, runAsUser: { value: -1n } } },
    },
  },
  "a user beyond 2^53": {
    change: {
      linux: {
        securityContext: { namespaceOptions: { pid }, runAsUser: { value: 2n ** 53n + 1n } },
      },
    },
  },
  "a relative seccomp profile": {
    change: {
      linux: {
        securityContext: {
          namespaceOptions: { pid },
          seccomp: {
            profileType: SecurityProfile_ProfileType.Localhost,
            localhostRef: "../../etc/shadow",
          },
        },
      },
    },
  },
  "a bandwidth that is none": {
    change: { annotations: { "kubernetes.io/ingress-bandwidth": "much" } },
  },
  "an unknown runtime handler": { change: {}, handler: "kata-nowhere" },
};

describe("a sandbox's input", () => {
  let node: TestNode;

  before(async () => {
    node = await startNode();
    await removePod(node, await runPod(node, hostSandboxConfig(node)));
  });
  after(async () => {
    await node.close();
  });
  leavesNothing(() => node);

  for (const [what, { change, code, handler }] of Object.entries(refused)) {
    it(`with ${what} is refused, and Docker hears nothing`, async () => {
      node.proxy.reset();
      const config = sandboxConfig(node, change);
      const failed = await rpcFailure(
        node.runtime.runPodSandbox({ config, runtimeHandler: handler ?? "" }),
      );
      expect(failed.code).to.equal(code ?? "INVALID_ARGUMENT");
      expect(failed.details).to.match(/^[^\n\0]{10,600}$/);
      expect(node.proxy.count(/^(POST|DELETE)/)).to.equal(0);
      expect(nodeState(node).records).to.deep.equal([]);
    });
  }

  it("with modes that mean nothing for a pod gives an ordinary one, as on other runtimes", async () => {
    for (const mode of [NamespaceMode.CONTAINER, NamespaceMode.TARGET]) {
      const namespaceOptions = { network: mode, pid: mode, ipc: mode };
      const pod = await runPod(
        node,
        sandboxConfig(node, { linux: { securityContext: { namespaceOptions } } }),
      );
      const { podSandboxId } = pod;
      const { Pid } = (await node.docker.inspectContainer(podSandboxId)).State;
      for (const kind of ["net", "ipc", "pid"]) {
        const own = readlinkSync(`/proc/self/ns/${kind}`);
        expect(readlinkSync(`/proc/${Pid}/ns/${kind}`), kind).to.not.equal(own);
      }
      const { status } = await node.runtime.podSandboxStatus({ podSandboxId });
      expect(status?.network?.ip).to.match(/^10\./);
      await removePod(node, pod);
    }
  });

  it("missing altogether is refused", async () => {
    for (const request of [{}, { config: {} }]) {
      const failed = await rpcFailure(node.runtime.runPodSandbox(request));
      expect(failed.code).to.equal("INVALID_ARGUMENT");
    }
    for (const call of ["stopPodSandbox", "removePodSandbox", "podSandboxStatus"] as const) {
      const failed = await rpcFailure(node.runtime[call]({ podSandboxId: "" }));
      expect(failed.code, call).to.equal("INVALID_ARGUMENT");
    }
  });

  it("ids that are none are unknown, whatever they hold", async () => {
    const ids = [
      "..",
      "../../etc/passwd",
      "a\0b",
      "a\nb",
      "x".repeat(100_000),
      "ünknown",
      "?all=1",
      "%2e%2e%2f",
      "F".repeat(64),
      "k8s_POD_x_y_z_0",
    ];
    for (const podSandboxId of ids) {
      const failed = await rpcFailure(node.runtime.podSandboxStatus({ podSandboxId }));
      expect(failed.code, podSandboxId.slice(0, 20)).to.equal("NOT_FOUND");
      expect(failed.details.length).to.be.below(5000);
      await node.runtime.stopPodSandbox({ podSandboxId });
      await node.runtime.removePodSandbox({ podSandboxId });
      const { items } = await node.runtime.listPodSandbox({ filter: { id: podSandboxId } });
      expect(items).to.deep.equal([]);
    }
  });

  it("a message of 10 MiB passes, one beyond 16 MiB is refused and the server lives", async () => {
    const huge = "x".repeat(17 << 20);
    const failed = await rpcFailure(
      node.runtime.runPodSandbox({ config: sandboxConfig(node, { annotations: { huge } }) }),
    );
    expect(failed.code).to.equal("RESOURCE_EXHAUSTED");
    const big = await rpcFailure(
      node.runtime.podSandboxStatus({ podSandboxId: "x".repeat(10 << 20) }),
    );
    expect(big.code).to.equal("NOT_FOUND");
    expect((await node.runtime.version({})).runtimeName).to.equal("docker");
  });

  it("filters by id, prefix, state and labels, all of them at once; unique prefixes name it", async () => {
    const pods = [];
    for (const tier of ["a", "b", "b"]) {
      const labels = { tier, suite: "filters" };
      pods.push(await runPod(node, hostSandboxConfig(node, { labels })));
    }
    const ids = pods.map(({ podSandboxId }) => podSandboxId);
    const [first = "", second = "", third = ""] = ids;
    await node.runtime.stopPodSandbox({ podSandboxId: third });
    const find = async (filter: object): Promise<string[]> =>
      (await node.runtime.listPodSandbox({ filter })).items.map(({ id }) => id);
    const ready = { state: PodSandboxState.SANDBOX_READY };
    const notReady = { state: PodSandboxState.SANDBOX_NOTREADY };
    expect(await find({})).to.deep.equal(ids);
    expect(await find({ id: second })).to.deep.equal([second]);
    expect(await find({ id: second.slice(0, 13) })).to.deep.equal([second]);
    expect(await find({ state: ready })).to.deep.equal([first, second]);
    expect(await find({ state: notReady })).to.deep.equal([third]);
    expect(await find({ labelSelector: { tier: "b" } })).to.deep.equal([second, third]);
    expect(await find({ labelSelector: { tier: "b", suite: "x" } })).to.deep.equal([]);
    expect(await find({ labelSelector: { tier: "b" }, state: ready })).to.deep.equal([second]);
    expect(await find({ id: first, labelSelector: { tier: "b" } })).to.deep.equal([]);

    const { status } = await node.runtime.podSandboxStatus({ podSandboxId: first.slice(0, 12) });
    expect(status?.id).to.equal(first);
    const digit = await ambiguousDigit(node, ids, pods);
    for (const call of ["podSandboxStatus", "stopPodSandbox", "removePodSandbox"] as const) {
      const failed = await rpcFailure(node.runtime[call]({ podSandboxId: digit }));
      expect(failed.code, call).to.equal("INVALID_ARGUMENT");
    }
    expect(await find({ state: ready })).to.include.members([first, second]);
    for (const pod of pods) await removePod(node, pod);
  });

  it("unknown fields of a newer CRI do not keep a pod from running", async () => {
    const config = create(PodSandboxConfigSchema, hostSandboxConfig(node));
    const bytes = toBinary(PodSandboxConfigSchema, config);
    expect(bytes.length).to.be.above(0);
    config.$unknown = [{ no: 9999, wireType: WireType.Varint, data: new Uint8Array([1]) }];
    const { podSandboxId } = await node.runtime.runPodSandbox({ config });
    await removePod(node, { podSandboxId });
  });
});

/** A first digit that two sandboxes share; more of them are run until there is one. */
async function ambiguousDigit(
  node: TestNode,
  ids: readonly string[],
  pods: { podSandboxId: string }[],
): Promise<string> {
  const known = [...ids];
  for (let more = 0; more < 17; more += 1) {
    const digits = known.map((id) => id[0] ?? "");
    const shared = digits.find((digit, at) => digits.indexOf(digit) !== at);
    if (shared !== undefined) return shared;
    const pod = await runPod(node, hostSandboxConfig(node));
    pods.push(pod);
    known.push(pod.podSandboxId);
  }
  throw new Error("17 ids with 17 first digits");
}
