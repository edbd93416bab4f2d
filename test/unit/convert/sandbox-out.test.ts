import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import { isContainer, isSandbox, type SandboxFacts } from "../../../src/convert/container-facts.ts";
import { readIdentity, toSandboxLabels } from "../../../src/convert/labels.ts";
import { toPodSandbox, toPodSandboxStatus } from "../../../src/convert/sandbox-out.ts";
import {
  decodeContainerSpec,
  decodeSandboxSpec,
  encodeContainerSpec,
  encodeSandboxSpec,
} from "../../../src/convert/stored-spec.ts";
import {
  ContainerConfigSchema,
  NamespaceMode,
  PodSandboxConfigSchema,
  PodSandboxState,
  PodSandboxStatusSchema,
} from "../../../src/gen/runtime/v1/api_pb.js";

import { containerFacts, createdAtNs, id, inspectOf, state } from "./out-support.ts";

describe("convert/sandbox-out", () => {
  const sandboxConfig = create(PodSandboxConfigSchema, {
    labels: { a: "1" },
    annotations: { b: "2" },
    logDirectory: "/var/log/pods/p",
    linux: {
      cgroupParent: "/x",
      securityContext: {
        namespaceOptions: { pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.NODE },
      },
      overhead: { cpuShares: 2n },
      resources: { cpuShares: 3n },
    },
  });
  const facts = (
    identity: NonNullable<ReturnType<typeof readIdentity>>,
    change: object = {},
  ): SandboxFacts => {
    const all = { ...containerFacts(), identity, ...change };
    if (!isSandbox(all)) throw new Error("not a sandbox");
    return all;
  };
  const name = "k8s_POD_web_default_u-1_4";
  const own = readIdentity({
    name,
    labels: toSandboxLabels(sandboxConfig, "crun", name, {
      spec: encodeSandboxSpec(sandboxConfig),
    }),
  })!;
  const legacy = readIdentity({ name, labels: { "io.kubernetes.docker.type": "podsandbox" } })!;

  it("shows a sandbox", () => {
    const status = toPodSandboxStatus(facts(own), { ready: true, ips: ["10.0.0.2", "fd00::2"] });
    expect(
      fromBinary(PodSandboxStatusSchema, toBinary(PodSandboxStatusSchema, status)),
    ).to.deep.equal(
      create(PodSandboxStatusSchema, {
        id,
        metadata: { name: "web", namespace: "default", uid: "u-1", attempt: 4 },
        state: PodSandboxState.SANDBOX_READY,
        createdAt: createdAtNs,
        network: { ip: "10.0.0.2", additionalIps: [{ ip: "fd00::2" }] },
        linux: {
          namespaces: { options: { pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.NODE } },
        },
        labels: { a: "1" },
        annotations: { b: "2" },
        runtimeHandler: "crun",
      }),
    );
    const listed = toPodSandbox(facts(own), { ready: true });
    for (const key of [
      "id",
      "metadata",
      "state",
      "createdAt",
      "labels",
      "annotations",
      "runtimeHandler",
    ] as const) {
      expect(listed[key]).to.deep.equal(status[key]);
    }
  });

  it("is not READY before its network, nor after its end, and then has no address", () => {
    for (const [change, ready] of [
      [{}, false],
      [{ state: { ...state, Status: "exited" } }, true],
    ] as const) {
      const status = toPodSandboxStatus(facts(own, change), { ready, ips: ["10.0.0.2"] });
      expect(status.state).to.equal(PodSandboxState.SANDBOX_NOTREADY);
      expect(status.network).to.deep.include({ ip: "", additionalIps: [] });
    }
  });

  for (const [what, hostConfig, network, pid, ipc, handler] of [
    [
      "own namespaces",
      { NetworkMode: "none", IpcMode: "shareable", Runtime: "runc" },
      NamespaceMode.POD,
      NamespaceMode.CONTAINER,
      NamespaceMode.POD,
      "runc",
    ],
    [
      "the host's",
      { NetworkMode: "host", IpcMode: "host", PidMode: "host" },
      NamespaceMode.NODE,
      NamespaceMode.NODE,
      NamespaceMode.NODE,
      "",
    ],
  ] as const) {
    it(`reads a legacy sandbox with ${what} from Docker`, () => {
      const inspect = inspectOf({ HostConfig: hostConfig });
      const status = toPodSandboxStatus(facts(legacy, { inspect }), {
        ready: true,
        ips: ["10.0.0.2"],
      });
      expect(status.linux?.namespaces?.options).to.deep.include({ network, pid, ipc });
      expect(status.runtimeHandler).to.equal(handler);
      expect(status.network?.ip).to.equal("10.0.0.2");
    });
  }

  it("shows the pod's namespaces where the request named none: that is what its containers share", () => {
    const spec = encodeSandboxSpec(create(PodSandboxConfigSchema));
    const labels = toSandboxLabels(sandboxConfig, "", name, { spec });
    const inspect = inspectOf({ HostConfig: { NetworkMode: "none", IpcMode: "shareable" } });
    const status = toPodSandboxStatus(facts(readIdentity({ name, labels })!, { inspect }), {
      ready: true,
      ips: [],
    });
    const { POD } = NamespaceMode;
    const options = { network: POD, pid: POD, ipc: POD };
    expect(status.linux?.namespaces?.options).to.deep.include(options);
  });

  it("reads a legacy sandbox that was not inspected", () => {
    const status = toPodSandboxStatus(facts(legacy), { ready: true, ips: [] });
    expect(status.linux?.namespaces?.options?.network).to.equal(NamespaceMode.POD);
    expect(status.runtimeHandler).to.equal("");
    expect(isContainer(facts(legacy))).to.equal(false);
  });

  it("keeps what it needs of a sandbox's request", () => {
    const kept = decodeSandboxSpec(encodeSandboxSpec(sandboxConfig))!;
    expect(kept.logDirectory).to.equal("/var/log/pods/p");
    expect(kept.linux).to.deep.equal(sandboxConfig.linux);
    expect(
      decodeSandboxSpec(encodeSandboxSpec(create(PodSandboxConfigSchema, {})))?.linux?.cgroupParent,
    ).to.equal("");
    expect(decodeSandboxSpec(undefined)).to.equal(undefined);
    expect(decodeSandboxSpec("////")).to.equal(undefined);
    expect(decodeContainerSpec(undefined)).to.equal(undefined);
    expect(decodeContainerSpec("////")).to.equal(undefined);
    expect(
      decodeContainerSpec(encodeContainerSpec(create(ContainerConfigSchema, {})))?.image,
    ).to.equal(undefined);
  });
});
