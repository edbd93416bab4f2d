import { expect } from "chai";
import { cdiOperations } from "../../../src/convert/cdi-edits.ts";
import { refuses } from "./support.ts";

describe("CDI edits of the spec", () => {
  it("are variables, devices with their permission, mounts, hooks and groups, in order", () => {
    const operations = cdiOperations([
      {
        env: ["A=1=2", "B="],
        deviceNodes: [{ path: "/dev/x", type: "c", major: 10, minor: 20, gid: 5 }],
        mounts: [{ hostPath: "/lib/x", containerPath: "/x", options: ["ro", "bind"] }],
        hooks: [{ hookName: "createContainer", path: "/bin/h", args: ["h"], timeout: 5 }],
        additionalGids: [0, 44],
      },
      { env: ["A=3"] },
    ]);
    expect(operations).to.deep.equal([
      { op: "env", name: "A", value: "1=2" },
      { op: "env", name: "B", value: "" },
      {
        op: "append",
        path: "/linux/devices",
        values: [{ path: "/dev/x", type: "c", major: 10, minor: 20, gid: 5 }],
      },
      {
        op: "append",
        path: "/linux/resources/devices",
        values: [{ allow: true, type: "c", major: 10, minor: 20, access: "rwm" }],
      },
      {
        op: "append",
        path: "/mounts",
        values: [{ destination: "/x", type: "bind", source: "/lib/x", options: ["ro", "bind"] }],
      },
      {
        op: "append",
        path: "/hooks/createContainer",
        values: [{ path: "/bin/h", args: ["h"], timeout: 5 }],
      },
      { op: "append", path: "/process/user/additionalGids", values: [44] },
      { op: "env", name: "A", value: "3" },
    ]);
  });

  it("are nothing for a device without edits", () => {
    expect(cdiOperations([{}])).to.deep.equal([]);
  });

  it("give a pipe no device permission", () => {
    const pipe = { path: "/dev/p", type: "p", major: 0, minor: 0 } as const;
    expect(cdiOperations([{ deviceNodes: [pipe] }])).to.have.length(1);
  });

  it("refuse what no runtime would understand", () => {
    refuses(() => cdiOperations([{ env: ["=x"] }]), /NAME=value/);
    refuses(() => cdiOperations([{ hooks: [{ hookName: "later", path: "/h" }] }]), /not a hook/);
    const node = { path: "/d", type: "c", major: 1, minor: 1, permissions: "x" } as const;
    refuses(() => cdiOperations([{ deviceNodes: [node] }]), /of "rwm"/);
  });
});
