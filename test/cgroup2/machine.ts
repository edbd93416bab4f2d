import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Message, MessageInitShape } from "@bufbuild/protobuf";
import {
  CgroupDriver,
  NamespaceMode,
  type LinuxSandboxSecurityContextSchema,
} from "../../src/gen/runtime/v1/api_pb.js";
import { startNode, type TestNode } from "../support/node.ts";
import { docklineOci } from "../support/oci-engine.ts";
import { sandboxConfig, type SandboxInit } from "../support/pods.ts";

type SandboxSecurity = Exclude<MessageInitShape<typeof LinuxSandboxSecurityContextSchema>, Message>;

/** As the kubelet asks for it unless a pod shares its process namespace. */
export const ownPids = { namespaceOptions: { pid: NamespaceMode.CONTAINER } };
const root = join(import.meta.dirname, "..", "..");
const cgroups = "/sys/fs/cgroup";

/** A node of the lane: Dockline beside the machine's own engine, which knows dockline-oci. */
export interface Machine {
  readonly node: TestNode;
  /** Whether the engine has the systemd cgroup driver. */
  readonly systemd: boolean;
  /** Makes a folder for a volume, on the machine's own disk. */
  folder(name: string, mode?: number): string;
  /** What the kubelet would ask for: a pod of its own cgroup, and where that is. */
  podOf(name: string, securityContext?: SandboxSecurity): { sandbox: SandboxInit; cgroup: string };
  /** A file of the cgroup of a container's process. */
  cgroupFile(containerId: string, file: string): Promise<string>;
  pidOf(containerId: string): Promise<number>;
  /** Edits that are there, without what dockline-oci remembers of the runtimes. */
  editFiles(): string[];
  close(): Promise<void>;
}

export async function startMachine(): Promise<Machine> {
  const base = mkdtempSync(join(tmpdir(), "dockline-machine-"));
  chmodSync(base, 0o711);
  const runDir = join(base, "run");
  // As an operator does it, on an engine that runs already.
  execFileSync(
    join(root, "bin", "dockline"),
    ["install-runtime", `--binary=${docklineOci}`, `--run-dir=${runDir}`],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  const node = await startNode({ args: [`--run-dir=${runDir}`] });
  const { linux } = await node.runtime.runtimeConfig({});
  const systemd = linux?.cgroupDriver === CgroupDriver.SYSTEMD;
  const pidOf = async (containerId: string): Promise<number> =>
    (await node.docker.inspectContainer(containerId)).State.Pid;
  return {
    node,
    systemd,
    folder: (name, mode = 0o755) => {
      const path = join(base, name);
      mkdirSync(path, { recursive: true });
      chmodSync(path, mode);
      return path;
    },
    podOf: (name, securityContext = ownPids) => {
      const cgroup = podCgroup(`pod${name}`, systemd);
      const linux = { cgroupParent: cgroup, securityContext };
      return { sandbox: sandboxConfig(node, { linux }), cgroup };
    },
    cgroupFile: async (containerId, file) => {
      const text = readFileSync(`/proc/${await pidOf(containerId)}/cgroup`, "utf8");
      const [, own = ""] = /^0::(.*)$/m.exec(text) ?? [];
      return readFileSync(join(cgroups, own, file), "utf8").trim();
    },
    pidOf,
    editFiles: () =>
      readdirSync(join(runDir, "oci")).filter((name) => !name.startsWith(".features-")),
    close: async () => {
      await node.close();
      rmSync(base, { recursive: true, force: true });
    },
  };
}

/** As the kubelet names it under each cgroup driver. */
function podCgroup(pod: string, systemd: boolean): string {
  return systemd
    ? `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-${pod}.slice`
    : `/kubepods/burstable/${pod}`;
}

export function readCgroup(cgroup: string, file: string): string {
  return readFileSync(join(cgroups, cgroup, file), "utf8").trim();
}
