import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import { toDockerMounts } from "../../../src/convert/mounts.ts";
import { MountPropagation, MountSchema } from "../../../src/gen/runtime/v1/api_pb.js";
import { modern, old, refuses } from "./support.ts";

const { PROPAGATION_HOST_TO_CONTAINER, PROPAGATION_BIDIRECTIONAL } = MountPropagation;
type Init = Parameters<typeof create<typeof MountSchema>>[1];
const mount = (fields: Init = {}) =>
  create(MountSchema, { hostPath: "/h", containerPath: "/c", ...(fields as object) });
const one = (fields: Init, facts = modern) => toDockerMounts([mount(fields)], facts)[0];
const bind = { Type: "bind", Source: "/h", Target: "/c", ReadOnly: false };
const id = `sha256:${"a".repeat(64)}`;

describe("convert/mounts", () => {
  for (const [what, fields, facts, expected] of [
    ["a plain bind", {}, modern, { ...bind, BindOptions: { Propagation: "rprivate" } }],
    [
      "host to container",
      { propagation: PROPAGATION_HOST_TO_CONTAINER },
      modern,
      { ...bind, BindOptions: { Propagation: "rslave" } },
    ],
    [
      "bidirectional",
      { propagation: PROPAGATION_BIDIRECTIONAL },
      modern,
      { ...bind, BindOptions: { Propagation: "rshared" } },
    ],
    [
      "read-only, not recursive",
      { readonly: true },
      modern,
      {
        ...bind,
        ReadOnly: true,
        BindOptions: { Propagation: "rprivate", ReadOnlyNonRecursive: true },
      },
    ],
    [
      "read-only on 1.43, where it never is recursive",
      { readonly: true },
      { ...modern, apiMinor: 43 },
      { ...bind, ReadOnly: true, BindOptions: { Propagation: "rprivate" } },
    ],
    [
      "recursive read-only",
      { readonly: true, recursiveReadOnly: true },
      modern,
      {
        ...bind,
        ReadOnly: true,
        BindOptions: { Propagation: "rprivate", ReadOnlyForceRecursive: true },
      },
    ],
    [
      "an image",
      { hostPath: "", image: { image: id }, imageSubPath: "a/b" },
      modern,
      { Type: "image", Source: id, Target: "/c", ReadOnly: true, ImageOptions: { Subpath: "a/b" } },
    ],
    [
      "an image by name",
      { hostPath: "", readonly: true, image: { image: "busybox" } },
      modern,
      { Type: "image", Source: "docker.io/library/busybox:latest", Target: "/c", ReadOnly: true },
    ],
  ] as const) {
    it(`translates ${what}`, () => {
      expect(one(fields, facts)).to.deep.equal(expected);
    });
  }

  const mapping = { hostId: 0, containerId: 0, length: 1 };
  for (const [what, fields, facts, message, kind] of [
    ["no host path", { hostPath: "" }, modern, /mounts\[0\]\.host_path: must not be empty/],
    ["a relative host path", { hostPath: "h" }, modern, /host_path/],
    ["NUL in the host path", { hostPath: "/a\0b" }, modern, /host_path/],
    ["a newline in the host path", { hostPath: "/a\nb" }, modern, /host_path/],
    ["a long host path", { hostPath: "/" + "a".repeat(4096) }, modern, /host_path: too long/],
    ["no container path", { containerPath: "" }, modern, /container_path/],
    ["a relative container path", { containerPath: "c" }, modern, /container_path/],
    ["the root", { containerPath: "/" }, modern, /container_path: "\/"/],
    ["the root in disguise", { containerPath: "/a/.././/.." }, modern, /container_path: "\/"/],
    ["uid mappings", { uidMappings: [mapping] }, modern, /uidMappings/],
    ["gid mappings", { gidMappings: [mapping] }, modern, /gidMappings/],
    ["mount options", { mountOptions: ["noexec"] }, modern, /mount_options/],
    ["unknown propagation", { propagation: 9 }, modern, /propagation: 9/],
    [
      "recursive but writable",
      { recursiveReadOnly: true },
      modern,
      /recursive_read_only: needs readonly/,
    ],
    [
      "recursive but shared",
      { readonly: true, recursiveReadOnly: true, propagation: PROPAGATION_BIDIRECTIONAL },
      modern,
      /private propagation/,
    ],
    [
      "recursive on an old engine",
      { readonly: true, recursiveReadOnly: true },
      old,
      /^RROUnsupported: /,
    ],
    [
      "a sub-path without image",
      { imageSubPath: "a" },
      modern,
      /image_sub_path: set without image/,
    ],
    ["image and host path", { image: { image: id } }, modern, /both host_path and image/],
    ["an empty image", { hostPath: "", image: {} }, modern, /image: must not be empty/],
    [
      "a sub-path that leaves",
      { hostPath: "", image: { image: id }, imageSubPath: "a/../.." },
      modern,
      /leaves/,
    ],
    [
      "an absolute sub-path",
      { hostPath: "", image: { image: id }, imageSubPath: "/a" },
      modern,
      /leaves/,
    ],
    [
      "a recursive image",
      { hostPath: "", image: { image: id }, readonly: true, recursiveReadOnly: true },
      modern,
      /recursive_read_only/,
    ],
    [
      "a shared image",
      { hostPath: "", image: { image: id }, propagation: PROPAGATION_BIDIRECTIONAL },
      modern,
      /propagation/,
    ],
    [
      "an image on an old engine",
      { hostPath: "", image: { image: id } },
      old,
      /^ImageVolumeMountFailed: /,
      "Unimplemented",
    ],
  ] as const) {
    it(`refuses ${what}`, () => {
      refuses(() => one(fields as Init, facts), message, kind);
    });
  }

  it("passes paths on untouched, colons and all", () => {
    const path = fc
      .array(fc.stringMatching(/^[^\p{Cc}/]{1,12}$/u), { minLength: 1, maxLength: 5 })
      .map((parts) => `/${parts.join("/")}`);
    fc.assert(
      fc.property(fc.oneof(path, fc.constant("/a:ro,Z")), path, (hostPath, containerPath) => {
        fc.pre(!containerPath.split("/").every((part) => ["", ".", ".."].includes(part)));
        fc.pre(!containerPath.includes(".."));
        expect(one({ hostPath, containerPath })).to.include({
          Source: hostPath,
          Target: containerPath,
        });
      }),
    );
  });
});
