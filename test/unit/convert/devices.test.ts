import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import { toDeviceMappings, toDeviceRequests } from "../../../src/convert/devices.ts";
import { CDIDeviceSchema, DeviceSchema } from "../../../src/gen/runtime/v1/api_pb.js";
import { modern, old, refuses } from "./support.ts";

const device = (hostPath: string, containerPath: string, permissions: string) =>
  create(DeviceSchema, { hostPath, containerPath, permissions });
const cdi = (name: string) => create(CDIDeviceSchema, { name });

describe("convert/devices", () => {
  it("translates devices", () => {
    expect(
      toDeviceMappings([device("/dev/fuse", "/dev/x", "rw"), device("/dev/a", "/dev/a", "")]),
    ).to.deep.equal([
      { PathOnHost: "/dev/fuse", PathInContainer: "/dev/x", CgroupPermissions: "rw" },
      { PathOnHost: "/dev/a", PathInContainer: "/dev/a", CgroupPermissions: "rwm" },
    ]);
  });

  for (const [hostPath, containerPath, permissions, message] of [
    ["", "/dev/a", "rwm", /devices\[0\]\.host_path/],
    ["/dev/a", "dev/a", "rwm", /devices\[0\]\.container_path/],
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
    refuses(() => toDeviceRequests(names, old), /CDI_devices/, "Unimplemented");
    for (const name of ["", "gpu", "a/b", "a/b=", "/b=c", "../a/b=c", "a/b=c\n"]) {
      refuses(() => toDeviceRequests([cdi(name)], modern), /CDI_devices\[0\]/);
    }
  });
});
