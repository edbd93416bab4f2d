import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import type { Mount } from "../../../src/gen/runtime/v1/api_pb.js";
import {
  KeyValueSchema,
  LinuxContainerResourcesSchema,
  MountSchema,
} from "../../../src/gen/runtime/v1/api_pb.js";
import { warnOfLeftOut, type Asked } from "../../../src/containers/left-out.ts";

describe("what a container asks for and does not get", () => {
  const warnings = (asked: Asked, hugepages: boolean): unknown[][] => {
    const said: unknown[][] = [];
    const log = { warn: (...args: unknown[]) => void said.push(args) };
    warnOfLeftOut(log, { containerId: "c" }, asked, { hugepages });
    return said;
  };
  const mount = (propagation: number) =>
    create(MountSchema, {
      hostPath: "/h",
      propagation: propagation as unknown as Mount["propagation"],
    });
  const limit = (bytes: bigint) =>
    create(LinuxContainerResourcesSchema, {
      hugepageLimits: [{ pageSize: "2MB", limit: bytes }],
    });

  it("is said of an unknown propagation, with the mount and the value", () => {
    const mounts = [mount(0), mount(1), mount(2), mount(7)];
    expect(warnings({ mounts, resources: undefined }, true)).to.deep.equal([
      [
        { containerId: "c", hostPath: "/h", propagation: 7 },
        "unknown mount propagation: taken as private",
      ],
    ]);
  });

  it("is said of variables that are not UTF-8, by name", () => {
    const env = (key: string, ...value: number[]) =>
      create(KeyValueSchema, { key, value: Uint8Array.from(value) });
    const envs = [env("A", 0x61), env("SECRET", 0x68, 0xff), env("B", 0xc3, 0xa9)];
    expect(warnings({ envs, resources: undefined }, true)).to.deep.equal([
      [
        { containerId: "c", variables: ["SECRET"] },
        "values of variables are not UTF-8: odd bytes become U+FFFD",
      ],
    ]);
  });

  it("is said of huge pages where the kernel limits none, unless none were granted", () => {
    expect(warnings({ resources: limit(4n << 20n) }, false)).to.have.lengthOf(1);
    expect(warnings({ resources: limit(0n) }, false)).to.deep.equal([]);
    expect(warnings({ resources: limit(4n << 20n) }, true)).to.deep.equal([]);
  });
});
