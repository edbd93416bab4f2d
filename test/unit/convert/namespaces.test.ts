import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import {
  isHostNetwork,
  toContainerNamespaces,
  toSandboxNamespaces,
} from "../../../src/convert/namespaces.ts";
import { NamespaceMode, NamespaceOptionSchema } from "../../../src/gen/runtime/v1/api_pb.js";
import { modern, old, refuses, unknownEnum } from "./support.ts";

const { POD, CONTAINER, NODE, TARGET } = NamespaceMode;
const options = (network: NamespaceMode, pid: NamespaceMode, ipc: NamespaceMode, targetId = "") =>
  create(NamespaceOptionSchema, { network, pid, ipc, targetId });

describe("convert/namespaces", () => {
  for (const [what, given, expected] of [
    [
      "no options",
      undefined,
      { NetworkMode: "none", IpcMode: "shareable", CgroupnsMode: "private" },
    ],
    [
      "the kubelet's",
      options(POD, CONTAINER, POD),
      { NetworkMode: "none", IpcMode: "shareable", CgroupnsMode: "private" },
    ],
    [
      "own ipc per container",
      options(POD, POD, CONTAINER),
      { NetworkMode: "none", IpcMode: "shareable", CgroupnsMode: "private" },
    ],
    [
      "the host's",
      options(NODE, NODE, NODE),
      { NetworkMode: "host", IpcMode: "host", PidMode: "host", CgroupnsMode: "private" },
    ],
  ] as const) {
    it(`gives a sandbox ${what}`, () => {
      expect(toSandboxNamespaces(given, modern, false)).to.deep.equal(expected);
    });
  }

  for (const [what, given, expected, pod] of [
    [
      "no options",
      undefined,
      { NetworkMode: "container:s", IpcMode: "container:s", PidMode: "container:s" },
    ],
    [
      "the kubelet's",
      options(POD, CONTAINER, POD),
      { NetworkMode: "container:s", IpcMode: "container:s" },
    ],
    [
      "the host's",
      options(NODE, NODE, NODE),
      { NetworkMode: "container:s", IpcMode: "host", PidMode: "host", UTSMode: "host" },
      options(NODE, NODE, NODE),
    ],
    [
      "a target's",
      options(POD, TARGET, POD, "abc"),
      { NetworkMode: "container:s", IpcMode: "container:s", PidMode: "container:abc" },
    ],
  ] as const) {
    it(`gives a container ${what}`, () => {
      expect(toContainerNamespaces(given, "s", modern, false, pod)).to.deep.equal({
        ...expected,
        CgroupnsMode: "private",
      });
    });
  }

  it("gives a container of a pod in the node's network the node's UTS namespace, whatever it says itself", () => {
    const pod = options(NODE, CONTAINER, POD);
    for (const own of [undefined, options(POD, CONTAINER, POD)]) {
      expect(toContainerNamespaces(own, "s", modern, false, pod).UTSMode).to.equal("host");
      expect(toContainerNamespaces(own, "s", modern, false, own).UTSMode).to.equal(undefined);
    }
  });

  it("sees host network", () => {
    expect(isHostNetwork(undefined)).to.equal(false);
    expect(isHostNetwork(options(POD, POD, POD))).to.equal(false);
    expect(isHostNetwork(options(NODE, POD, POD))).to.equal(true);
  });

  it("keeps the cgroup view of the host for privileged containers and on v1", () => {
    expect(toSandboxNamespaces(undefined, modern, true).CgroupnsMode).to.equal("host");
    expect(toContainerNamespaces(undefined, "s", modern, true).CgroupnsMode).to.equal("host");
    expect(toSandboxNamespaces(undefined, old, false).CgroupnsMode).to.equal("host");
  });

  it("opts out of a daemon-wide user namespace", () => {
    const facts = { ...modern, usernsRemap: true };
    expect(toSandboxNamespaces(undefined, facts, false).UsernsMode).to.equal("host");
    expect(toContainerNamespaces(undefined, "s", facts, false).UsernsMode).to.equal("host");
  });

  it("refuses user namespaces per pod, and takes NODE", () => {
    const userns = (mode: NamespaceMode) =>
      create(NamespaceOptionSchema, { pid: CONTAINER, usernsOptions: { mode } });
    for (const mode of [POD, CONTAINER, TARGET]) {
      refuses(() => toSandboxNamespaces(userns(mode), modern, false), /userns_options/);
      refuses(() => toContainerNamespaces(userns(mode), "s", modern, false), /userns_options/);
    }
    expect(toSandboxNamespaces(userns(NODE), modern, false)).to.not.have.property("UsernsMode");
  });

  for (const [what, given] of [
    ["network CONTAINER", options(CONTAINER, POD, POD)],
    ["network TARGET", options(TARGET, POD, POD)],
    ["an unknown network", options(unknownEnum(9), POD, POD)],
    ["ipc CONTAINER", options(POD, POD, CONTAINER)],
    ["ipc TARGET", options(POD, POD, TARGET)],
    ["an unknown ipc", options(POD, POD, unknownEnum(9))],
  ] as const) {
    it(`takes ${what} as the pod's, as other runtimes do`, () => {
      const ordinary = options(POD, POD, POD);
      for (const pod of [undefined, given, ordinary]) {
        expect(toContainerNamespaces(given, "s", modern, false, pod)).to.deep.equal(
          toContainerNamespaces(ordinary, "s", modern, false, ordinary),
        );
      }
      expect(toSandboxNamespaces(given, modern, false)).to.deep.equal(
        toSandboxNamespaces(ordinary, modern, false),
      );
    });
  }

  it("takes pid modes without a meaning as those of an ordinary pod", () => {
    const sandbox = (pid: NamespaceMode) =>
      toSandboxNamespaces(options(POD, pid, POD, "a"), modern, false);
    for (const pid of [TARGET, unknownEnum(9) as NamespaceMode]) {
      expect(sandbox(pid)).to.deep.equal(sandbox(CONTAINER));
    }
    const unknown = options(POD, unknownEnum(9), POD);
    expect(toContainerNamespaces(unknown, "s", modern, false)).to.not.have.property("PidMode");
  });

  it("gives a container the pod's IPC namespace, whatever it says itself", () => {
    const ipcOf = (own: NamespaceMode, pod: NamespaceMode) =>
      toContainerNamespaces(options(POD, POD, own), "s", modern, false, options(POD, POD, pod))
        .IpcMode;
    for (const own of [POD, CONTAINER, NODE]) {
      expect(ipcOf(own, POD)).to.equal("container:s");
      expect(ipcOf(own, CONTAINER)).to.equal("container:s");
      expect(ipcOf(own, NODE)).to.equal("host");
    }
  });

  it("refuses targets that are no container id", () => {
    for (const target of ["", "a b", "../x", "a:b"]) {
      refuses(
        () => toContainerNamespaces(options(POD, TARGET, POD, target), "s", modern, false),
        /target_id/,
      );
    }
  });
});
