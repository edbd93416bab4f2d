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

  for (const [what, given, expected] of [
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
    ],
    [
      "a target's",
      options(POD, TARGET, POD, "abc"),
      { NetworkMode: "container:s", IpcMode: "container:s", PidMode: "container:abc" },
    ],
    [
      "its own",
      options(POD, CONTAINER, CONTAINER),
      { NetworkMode: "container:s", IpcMode: "private" },
    ],
  ] as const) {
    it(`gives a container ${what}`, () => {
      expect(toContainerNamespaces(given, "s", modern, false)).to.deep.equal({
        ...expected,
        CgroupnsMode: "private",
      });
    });
  }

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

  for (const [what, given, message] of [
    ["network CONTAINER", options(CONTAINER, POD, POD), /network: CONTAINER/],
    ["network TARGET", options(TARGET, POD, POD), /network: TARGET/],
    ["an unknown network", options(unknownEnum(9), POD, POD), /network: 9/],
    ["ipc TARGET", options(POD, POD, TARGET), /ipc: TARGET/],
  ] as const) {
    it(`refuses ${what}`, () => {
      refuses(() => toSandboxNamespaces(given, modern, false), message);
      refuses(() => toContainerNamespaces(given, "s", modern, false), message);
    });
  }

  it("refuses pid modes that mean nothing", () => {
    refuses(
      () => toSandboxNamespaces(options(POD, TARGET, POD, "a"), modern, false),
      /pid: TARGET/,
    );
    for (const target of ["", "a b", "../x", "a:b"]) {
      refuses(
        () => toContainerNamespaces(options(POD, TARGET, POD, target), "s", modern, false),
        /target_id/,
      );
    }
    refuses(
      () => toContainerNamespaces(options(POD, unknownEnum(9), POD), "s", modern, false),
      /pid: mode 9/,
    );
  });
});
