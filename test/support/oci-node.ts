import { expect } from "chai";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NamespaceMode } from "../../src/gen/runtime/v1/api_pb.js";
import { startNode, type NodeOptions, type TestNode } from "./node.ts";
import { until, type SecurityInit } from "./containers.ts";
import { docklineOci, mountsUnder, newRunc, startOciEngine, type OciEngine } from "./oci-engine.ts";
import { removeAllPods, sandboxConfig, type SandboxInit } from "./pods.ts";

/** Dockline beside an engine of its own that has dockline-oci. */
export interface OciNode {
  readonly node: TestNode;
  readonly engine: OciEngine;
  /** Where Dockline writes the edits. */
  readonly edits: string;
  /** Names of files and folders there, without what dockline-oci remembers of the runtime. */
  editFiles(): string[];
  /** Makes a folder that a namespace's root can reach, for volumes. */
  folder(name: string, mode?: number): string;
  close(): Promise<void>;
}

/** @param runtimes dockline-oci's arguments by Docker's runtime name, without where the edits are */
export async function startOciNode(
  runtimes: Readonly<Record<string, readonly string[]>>,
  options: { engine?: Parameters<typeof startOciEngine>[1]; node?: NodeOptions } = {},
): Promise<OciNode> {
  const base = mkdtempSync(join(tmpdir(), "dloci-"));
  chmodSync(base, 0o711);
  const edits = join(base, "run", "oci");
  const registered = Object.fromEntries(
    Object.entries(runtimes).map(([name, args]) => [name, [...args, `--edits=${edits}`]]),
  );
  const engine = await startOciEngine(registered, options.engine);
  try {
    const node = await startNode({
      ...options.node,
      upstream: engine.folder("s"),
      args: [`--run-dir=${join(base, "run")}`, ...(options.node?.args ?? [])],
    });
    return {
      node,
      engine,
      edits,
      editFiles: () => readdirSync(edits).filter((name) => !name.startsWith(".features-")),
      folder: (name, mode = 0o755) => {
        mkdirSync(join(base, name), { recursive: true });
        chmodSync(join(base, name), mode);
        return join(base, name);
      },
      close: async () => {
        await node.close();
        await engine.remove();
        rmSync(base, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await engine.remove();
    rmSync(base, { recursive: true, force: true });
    throw error;
  }
}

export interface UsernsNode extends OciNode {
  /** A copy of dockline-oci that the engine runs; a test may take it away. */
  readonly program: string;
}

/** For user namespaces; undefined, with the reason printed, where no installed runc can do them. */
export async function startUsernsNode(): Promise<UsernsNode | undefined> {
  const runc = newRunc();
  if (runc === undefined) {
    console.log("      skipped: no runc ≥ 1.2 here; DOCKLINE_TEST_RUNC names one");
    return undefined;
  }
  const program = `/run/dockline-test-oci-${process.pid}`;
  copyFileSync(docklineOci, program);
  const oci = await startOciNode(
    { dockline: [`--real-runtime=${runc}`] },
    { engine: { program, daemon: { "live-restore": true } } },
  );
  return {
    ...oci,
    program,
    close: async () => {
      await oci.close();
      rmSync(program, { force: true });
    },
  };
}

/** What must be true between two tests. */
export async function expectNoEdits(oci: OciNode): Promise<void> {
  await removeAllPods(oci.node);
  await until("nothing left of the edits", () => oci.editFiles().length === 0);
  expect(mountsUnder(oci.edits)).to.deep.equal([]);
}

export const hostId = 131072;
/** As the kubelet hands them out. */
export const ids = [{ containerId: 0, hostId, length: 65536 }];
export const podNamespaces = {
  pid: NamespaceMode.CONTAINER,
  usernsOptions: { mode: NamespaceMode.POD, uids: ids, gids: ids },
};

/** A pod with `hostUsers: false`. */
export function usernsPod(node: TestNode, fields: SandboxInit = {}): SandboxInit {
  return sandboxConfig(node, {
    linux: { securityContext: { namespaceOptions: podNamespaces } },
    ...fields,
  });
}

/** For `linux` of a container in it. */
export const inUserns = (security: SecurityInit = {}) => ({
  resources: {},
  securityContext: { namespaceOptions: podNamespaces, ...security },
});

export const mapped = (hostPath: string, containerPath: string) => ({
  ...{ hostPath, containerPath },
  ...{ uidMappings: ids, gidMappings: ids },
});
