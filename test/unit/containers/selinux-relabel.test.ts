import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import { encodeContainerSpec } from "../../../src/convert/stored-spec.ts";
import { ContainerConfigSchema } from "../../../src/gen/runtime/v1/api_pb.js";
import { HostPaths } from "../../../src/containers/host-paths.ts";
import { RemotePaths } from "../../../src/sys/remote-paths.ts";
import { relabelVolumes } from "../../../src/containers/selinux-relabel.ts";

type Deps = Parameters<typeof relabelVolumes>[0];
type Container = Parameters<typeof relabelVolumes>[1];
const label = "system_u:object_r:container_file_t:s0:c1,c2";

describe("selinux_relabel", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "dockline-relabel-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const relabel = async (
    hostPath: string,
    node: { selinux?: boolean; label?: string; relabel?: boolean; stderr?: string } = {},
  ): Promise<string[]> => {
    const calls: string[] = [];
    const deps = {
      facts: () => Promise.resolve({ selinuxEnabled: node.selinux ?? true }),
      engine: { inspectContainer: () => Promise.resolve({ MountLabel: node.label ?? label }) },
      hostPaths: new HostPaths({ remote: new RemotePaths(), rejectAbsent: [] }),
    } as unknown as Deps;
    const config = create(ContainerConfigSchema, {
      mounts: [
        { hostPath, containerPath: "/v", selinuxRelabel: node.relabel ?? true },
        { hostPath: "/", containerPath: "/host" },
      ],
    });
    const identity = { kind: "container", extra: { spec: encodeContainerSpec(config) } };
    await relabelVolumes(deps, { id: "c", identity } as Container, (program, args) => {
      calls.push([program, ...args].join(" "));
      const stderr = node.stderr ?? "";
      return Promise.resolve({ exitCode: stderr === "" ? 0 : 1, stdout: "", stderr });
    });
    return calls;
  };
  const failure = (call: Promise<unknown>): Promise<string> =>
    call.then(
      () => "",
      (error: unknown) => String(error),
    );

  it("gives the volume, and no other mount, the container's label", async () => {
    expect(await relabel(folder)).to.deep.equal([`chcon -R ${label} -- ${folder}`]);
  });

  it("does nothing without SELinux, without a label, and unasked", async () => {
    expect(await relabel(folder, { selinux: false })).to.deep.equal([]);
    expect(await relabel(folder, { label: "" })).to.deep.equal([]);
    expect(await relabel(folder, { relabel: false })).to.deep.equal([]);
  });

  it("never touches the node's own folders, also by a way around", async () => {
    for (const path of ["/", "/etc", "/usr/", "/var/../etc", "/proc/self/root"]) {
      expect(await failure(relabel(path)), path).to.match(/node's own folder/);
    }
    expect(await failure(relabel(join(folder, "missing")))).to.match(
      /selinux_relabel: ".*" does not exist/,
    );
  });

  it("lets file systems without labels be, and says what else failed", async () => {
    const cannot = `chcon: failed to change context of '${folder}': Operation not supported\n`;
    expect(await relabel(folder, { stderr: cannot })).to.have.length(1);
    const denied = `${cannot}chcon: failed to change context of 'x': Permission denied\n`;
    expect(await failure(relabel(folder, { stderr: denied }))).to.match(/Permission denied/);
  });
});
