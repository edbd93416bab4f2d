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
      "a propagation that the CRI does not know, as private",
      { propagation: 9 as never },
      modern,
      { ...bind, BindOptions: { Propagation: "rprivate" } },
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
      "an image that is to be recursively read-only",
      { hostPath: "", image: { image: id }, readonly: true, recursiveReadOnly: true },
      modern,
      { Type: "image", Source: id, Target: "/c", ReadOnly: true },
    ],
    [
      "an image with propagation",
      { hostPath: "", image: { image: id }, propagation: PROPAGATION_BIDIRECTIONAL },
      modern,
      { Type: "image", Source: id, Target: "/c", ReadOnly: true },
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

  for (const [source, root, expected] of [
    ["/", "/var/lib/docker", true],
    ["/var", "/var/lib/docker", true],
    ["/va", "/var/lib/docker", true],
    ["/var/lib/docker", "/var/lib/docker", true],
    ["/var/lib/docker/containers", "/var/lib/docker", true],
    ["/var/lib/docker-data", "/var/lib/docker", true],
    ["/var/lib/dockershim", "/var/lib/docker", true],
    ["/var/lib/dock2", "/var/lib/docker", false],
    ["/var/log", "/var/lib/docker", false],
    ["/var/lib/docker", "/data/docker", false],
    ["/data", "/data/docker/100000.100000", true],
  ] as const) {
    it(`leaves ${expected ? "Docker its own" : "no"} propagation to ${source} with the data root ${root}`, () => {
      const facts = { ...modern, dockerRootDir: root };
      expect(one({ hostPath: source, readonly: true }, facts)?.BindOptions).to.deep.equal({
        ...(expected ? {} : { Propagation: "rprivate" }),
        ReadOnlyNonRecursive: true,
      });
      for (const [propagation, word] of [
        [PROPAGATION_HOST_TO_CONTAINER, "rslave"],
        [PROPAGATION_BIDIRECTIONAL, "rshared"],
      ] as const)
        expect(one({ hostPath: source, propagation }, facts)?.BindOptions).to.deep.equal({
          Propagation: word,
        });
    });
  }

  it("has dockline-oci make what Docker's data root is in recursively read-only, or refuses it", () => {
    const asked = { hostPath: "/var/lib", readonly: true, recursiveReadOnly: true };
    const editing = { name: "dockline", recursiveReadOnly: true };
    const [made] = toDockerMounts([mount(asked)], { ...modern, editing });
    expect(made?.BindOptions).to.deep.equal({ ReadOnlyNonRecursive: true });
    refuses(
      () => one(asked),
      /^RROUnsupported: mounts\[0\]\.recursive_read_only: .*"\/var\/lib\/docker"/,
    );
  });

  it("gives Docker the last of several mounts at one mount point, in the order given", () => {
    const mounts = [
      mount({ hostPath: "/1", containerPath: "/x" }),
      mount({ hostPath: "/2", containerPath: "/y" }),
      mount({ hostPath: "", image: { image: id }, containerPath: "/x/" }),
      mount({ hostPath: "/4", containerPath: "/etc//hosts" }),
      mount({ hostPath: "/5", containerPath: "/a/../x/." }),
      mount({ hostPath: "/6", containerPath: "/x/z" }),
      mount({ hostPath: "/7", containerPath: "/etc/hosts" }),
    ];
    expect(toDockerMounts(mounts, modern).map(({ Source }) => Source)).to.deep.equal([
      "/2",
      "/5",
      "/6",
      "/7",
    ]);
    refuses(
      () => toDockerMounts([mount({ hostPath: "rel" }), mount()], modern),
      /mounts\[0\]\.host_path/,
    );
  });

  it("takes a newline and other control characters in a path, as other runtimes do", () => {
    expect(one({ hostPath: "/a\nb", containerPath: "/\t" })).to.include({
      Source: "/a\nb",
      Target: "/\t",
    });
  });

  const mapping = { hostId: 0, containerId: 0, length: 1 };
  for (const [what, fields, facts, message, kind] of [
    ["no host path", { hostPath: "" }, modern, /mounts\[0\]\.host_path: must not be empty/],
    ["a relative host path", { hostPath: "h" }, modern, /host_path/],
    ["NUL in the host path", { hostPath: "/a\0b" }, modern, /host_path/],
    [
      "a long container path",
      { containerPath: "/" + "a".repeat(4096) },
      modern,
      /container_path: too long/,
    ],
    ["no container path", { containerPath: "" }, modern, /container_path/],
    ["a relative container path", { containerPath: "c" }, modern, /container_path/],
    ["the root", { containerPath: "/" }, modern, /container_path: "\/"/],
    ["the root in disguise", { containerPath: "/a/.././/.." }, modern, /container_path: "\/"/],
    ["uid mappings", { uidMappings: [mapping] }, modern, /uidMappings/],
    ["gid mappings", { gidMappings: [mapping] }, modern, /gidMappings/],
    ["mount options", { mountOptions: ["noexec"] }, modern, /mount_options/],
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
