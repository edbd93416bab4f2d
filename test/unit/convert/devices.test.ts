import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import {
  toDeviceMappings,
  toDeviceRequests,
  withAnnotatedDevices,
} from "../../../src/convert/devices.ts";
import {
  CDIDeviceSchema,
  ContainerConfigSchema,
  DeviceSchema,
} from "../../../src/gen/runtime/v1/api_pb.js";
import { modern, old, refuses } from "./support.ts";

const device = (hostPath: string, containerPath: string, permissions: string) =>
  create(DeviceSchema, { hostPath, containerPath, permissions });
const cdi = (name: string) => create(CDIDeviceSchema, { name });

describe("convert/devices", () => {
  it("translates devices", () => {
    expect(
      toDeviceMappings([device("/dev/fuse", "/dev/x", "rw"), device("/dev/a", "/dev/a", "mrw")]),
    ).to.deep.equal([
      { PathOnHost: "/dev/fuse", PathInContainer: "/dev/x", CgroupPermissions: "rw" },
      { PathOnHost: "/dev/a", PathInContainer: "/dev/a", CgroupPermissions: "mrw" },
    ]);
  });

  for (const [hostPath, containerPath, permissions, message] of [
    ["", "/dev/a", "rwm", /devices\[0\]\.host_path/],
    ["/dev/a", "dev/a", "rwm", /devices\[0\]\.container_path/],
    ["/dev/a", "/dev/a", "", /devices\[0\]\.permissions/],
    ["/dev/a", "/dev/a", "x", /devices\[0\]\.permissions/],
    ["/dev/a", "/dev/a", "rwmr", /devices\[0\]\.permissions/],
  ] as const) {
    it(`refuses ${hostPath}:${containerPath}:${permissions}`, () => {
      refuses(() => toDeviceMappings([device(hostPath, containerPath, permissions)]), message);
    });
  }

  it("asks Docker for CDI devices", () => {
    expect(toDeviceRequests([], old)).to.equal(undefined);
    const names = [cdi("nvidia.com/gpu=0"), cdi("nvidia.com/gpu=0"), cdi("a.b/c_d=all:1")];
    expect(toDeviceRequests(names, modern)).to.deep.equal([
      { Driver: "cdi", DeviceIDs: ["nvidia.com/gpu=0", "a.b/c_d=all:1"] },
    ]);
    refuses(() => toDeviceRequests(names, old), /CDI_devices: .*Docker 25/, "Unimplemented");
    // Docker 25 to 28.1 by default, and any with features.cdi false.
    const off = { ...modern, cdiFolders: [] };
    refuses(() => toDeviceRequests(names, off), /"features": \{"cdi": true\}/, "Unimplemented");
    const editing = { name: "dockline", recursiveReadOnly: true };
    expect(toDeviceRequests(names, { ...off, editing })).to.equal(undefined);
    for (const name of ["", "gpu", "a/b", "a/b=", "/b=c", "../a/b=c", "a/b=c\n"]) {
      refuses(() => toDeviceRequests([cdi(name)], modern), /CDI_devices\[0\]/);
    }
  });

  it("adds the CDI devices that annotations name, each once", () => {
    const config = (annotations: Record<string, string>) =>
      create(ContainerConfigSchema, { CDIDevices: [cdi("a.b/c=1")], annotations });
    const names = (annotations: Record<string, string>) =>
      withAnnotatedDevices(config(annotations)).CDIDevices.map(({ name }) => name);
    expect(names({ "cdi.k8s.io": "x/y=0", "other.io/cdi.k8s.io/": "x/y=0" })).to.deep.equal([
      "a.b/c=1",
    ]);
    expect(
      names({ "cdi.k8s.io/one": "x.y/z.w=1,a.b/c=1,x.y/z.w=1", "cdi.k8s.io/two": "x.y/z.w=2" }),
    ).to.deep.equal(["a.b/c=1", "x.y/z.w=1", "x.y/z.w=2"]);
    for (const value of ["", "a/b", "a.b/c=1,", "a.b/c=1, a.b/c=2"]) {
      refuses(() => names({ "cdi.k8s.io/x": value }), /^annotations\["cdi\.k8s\.io\/x"\]/);
    }
  });
});
