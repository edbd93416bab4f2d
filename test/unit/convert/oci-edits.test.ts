import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import type { CgroupWrite } from "../../../src/convert/cgroup-writes.ts";
import {
  toOciEdits,
  writesAfterStart,
  type OciEditsInput,
} from "../../../src/convert/oci-edits.ts";
import { MountSchema } from "../../../src/gen/runtime/v1/api_pb.js";
import { refuses } from "./support.ts";

const nothing: OciEditsInput = {
  containerId: "c1",
  cgroupVersion: 2,
  hostWrites: [],
  mounts: [],
  recursiveReadOnly: { dataRoot: "/var/lib/docker" },
  ambientCapabilities: [],
  deviceOperations: [],
  podIds: undefined,
  join: undefined,
  volumes: [],
};
const podIds = { hostId: 131072, size: 65536 };
const mapping = [{ hostId: 131072, containerId: 0, length: 65536 }];
const join = { pid: 4711, startTicks: 99 };
const mount = (containerPath: string, more: object = {}) =>
  create(MountSchema, { containerPath, hostPath: "/h", ...more });
const write = (file: string, value: string, optional = false): CgroupWrite => ({
  controller: file.slice(0, file.indexOf(".")),
  file,
  value,
  optional,
});

describe("edits for dockline-oci", () => {
  it("are none when Docker can say it all", () => {
    const mounts = [mount("/data"), mount("/ro", { readonly: true, recursiveReadOnly: true })];
    expect(toOciEdits({ ...nothing, mounts })).to.equal(undefined);
  });

  describe("resources", () => {
    it("go into the spec on cgroup v2, what may be missing is written after create", () => {
      const hostWrites = [
        write("memory.max", "5242880"),
        write("memory.oom.group", "1"),
        write("memory.min", "1024"),
        write("memory.swap.max", "0", true),
        write("hugetlb.2MB.max", "0", true),
      ];
      expect(toOciEdits({ ...nothing, hostWrites })).to.deep.equal({
        v: 1,
        containerId: "c1",
        merge: {
          linux: {
            resources: {
              memory: { limit: 5242880 },
              unified: Object.assign(Object.create(null) as object, {
                "memory.oom.group": "1",
                "memory.min": "1024",
              }),
            },
          },
        },
        cgroupWrites: hostWrites.slice(3),
      });
    });

    it("are the limit and writes on cgroup v1", () => {
      const hostWrites = [
        write("memory.limit_in_bytes", "5242880"),
        write("memory.memsw.limit_in_bytes", "5242880", true),
        write("hugetlb.2MB.limit_in_bytes", "2097152"),
      ];
      expect(toOciEdits({ ...nothing, cgroupVersion: 1, hostWrites })).to.deep.equal({
        v: 1,
        containerId: "c1",
        merge: { linux: { resources: { memory: { limit: 5242880 } } } },
        cgroupWrites: hostWrites.slice(1),
      });
    });
  });

  it("leave a memory limit that runc would not survive for after the start", () => {
    const v1 = [
      write("memory.limit_in_bytes", "4194304"),
      write("memory.memsw.limit_in_bytes", "4194304", true),
      write("pids.max", "1"),
    ];
    const edits = toOciEdits({ ...nothing, cgroupVersion: 1, hostWrites: v1 });
    expect(edits?.merge).to.deep.equal({ linux: { resources: { memory: { limit: 5242880 } } } });
    expect(edits?.cgroupWrites).to.deep.equal([v1[2]]);
    expect(writesAfterStart(v1)).to.deep.equal(v1.slice(0, 2));
    expect(
      writesAfterStart([write("memory.max", "5242880"), write("pids.max", "1")]),
    ).to.deep.equal([]);
  });

  describe("mounts", () => {
    it("get their options in place of the opposites, at the path as Docker cleans it", () => {
      const mounts = [mount("/data//x/../y/", { mountOptions: ["noexec", "nosuid", "noexec"] })];
      expect(toOciEdits({ ...nothing, mounts })?.ops).to.deep.equal([
        {
          op: "mountOptions",
          destination: "/data/y",
          add: ["noexec", "nosuid"],
          remove: ["exec", "suid"],
        },
      ]);
    });

    it("become recursively read-only here only where the engine cannot do it, and private", () => {
      const mounts = [mount("/ro", { readonly: true, recursiveReadOnly: true })];
      expect(toOciEdits({ ...nothing, mounts, recursiveReadOnly: "all" })?.ops).to.deep.equal([
        { op: "mountOptions", destination: "/ro", add: ["rro", "rprivate"], remove: ["rslave"] },
      ]);
      const ofDataRoot = { readonly: true, recursiveReadOnly: true, hostPath: "/var/lib" };
      expect(toOciEdits({ ...nothing, mounts: [mount("/ro", ofDataRoot)] })?.ops).to.deep.equal([
        { op: "mountOptions", destination: "/ro", add: ["rro", "rprivate"], remove: ["rslave"] },
      ]);
    });

    it("leave images alone that are to be recursively read-only: nothing is mounted below", () => {
      const image = { hostPath: "", image: { image: "busybox" }, recursiveReadOnly: true };
      const mounts = [mount("/image", image)];
      expect(toOciEdits({ ...nothing, mounts })).to.equal(undefined);
      expect(toOciEdits({ ...nothing, mounts, recursiveReadOnly: "all" })).to.equal(undefined);
    });

    it("change nothing for a mount that a later one covers", () => {
      const mounts = [mount("/a/", { mountOptions: ["noexec"] }), mount("/a")];
      expect(toOciEdits({ ...nothing, mounts })).to.equal(undefined);
    });

    for (const option of ["rw", "shared", "idmap", "remount", "size=1", ""])
      it(`refuse the option "${option}", which other fields decide or no bind has`, () => {
        const mounts = [mount("/a"), mount("/b", { mountOptions: [option] })];
        refuses(() => toOciEdits({ ...nothing, mounts }), /mounts\[1\]\.mount_options/);
      });

    it("refuse an option and its opposite", () => {
      const mounts = [mount("/b", { mountOptions: ["exec", "noexec"] })];
      refuses(() => toOciEdits({ ...nothing, mounts }), /opposite/);
    });
  });

  it("name ambient capabilities as the spec does", () => {
    const ambientCapabilities = ["NET_RAW", "CAP_NET_RAW", "CAP_CHOWN"];
    expect(toOciEdits({ ...nothing, ambientCapabilities })?.ops).to.deep.equal([
      { op: "ambientCapabilities", add: ["CAP_NET_RAW", "CAP_CHOWN"] },
    ]);
    refuses(() => toOciEdits({ ...nothing, ambientCapabilities: ["all"] }), /not a capability/);
  });

  describe("user namespaces", () => {
    it("are new for the pause container", () => {
      expect(toOciEdits({ ...nothing, podIds })).to.deep.equal({
        v: 1,
        containerId: "c1",
        userNamespace: podIds,
      });
    });

    it("are joined by members, with their volumes and the engine's files mapped", () => {
      const mounts = [
        mount("/data/", { uidMappings: mapping, gidMappings: mapping }),
        mount("/plain"),
        mount("/etc/hosts", { uidMappings: mapping, gidMappings: mapping }),
      ];
      const volumes = ["/plain", "/declared"];
      const edits = toOciEdits({ ...nothing, podIds, join, mounts, volumes });
      expect(edits?.userNamespace).to.deep.equal({
        ...podIds,
        join,
        idmapMounts: [
          { destination: "/data" },
          { destination: "/etc/hosts" },
          { destination: "/etc/hostname", optional: true },
          { destination: "/etc/resolv.conf", optional: true },
          { destination: "/declared", optional: true },
        ],
      });
    });

    it("leave a file of the request's own as the request says", () => {
      const edits = toOciEdits({ ...nothing, podIds, join, mounts: [mount("/etc/hosts")] });
      const destinations = edits?.userNamespace?.idmapMounts?.map((entry) => entry.destination);
      expect(destinations).to.deep.equal(["/etc/hostname", "/etc/resolv.conf"]);
    });

    for (const [what, uidMappings, gidMappings] of [
      ["other host ids", [{ ...mapping[0], hostId: 196608 }], mapping],
      ["no gids", mapping, []],
      ["two mappings", [...mapping, ...mapping], mapping],
    ] as const)
      it(`refuse a volume with ${what}`, () => {
        const mounts = [mount("/data", { uidMappings, gidMappings })];
        refuses(() => toOciEdits({ ...nothing, podIds, join, mounts }), /mounts\[0\].*mappings/i);
      });

    it("must be there for a volume with mappings", () => {
      const mounts = [mount("/data", { uidMappings: mapping, gidMappings: mapping })];
      refuses(() => toOciEdits({ ...nothing, mounts }), /those of the pod's user namespace/);
    });
  });
});
