import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { failpointCalls, installFailpointPlugin, setFailpoints } from "./failpoint-cni/install.ts";
import type { FailpointCall } from "./failpoint-cni/terms.ts";
import { startNode } from "./node.ts";
import type { NodeOptions, TestNode } from "./node.ts";
import { bridgeConflist } from "./node-network.ts";

/** A node whose network fails on demand (failpoint-cni/README.md). */
export interface FailpointNode {
  readonly node: TestNode;
  /** Takes the CNI configuration away, puts it back. */
  removeConfig(): void;
  /** Without an argument, the one of the start. */
  writeConfig(list?: object): void;
  /** The configuration as it is now. */
  config(): { plugins: object[] };
  /** What the plugin does from now on, by verb; earlier calls are forgotten. */
  failOn(failpoints: Record<string, string>): void;
  /** Verbs of the calls since then, and all about them. */
  verbs(): string[];
  calls(): FailpointCall[];
  close(): Promise<void>;
}

export async function startFailpointNode(options: NodeOptions = {}): Promise<FailpointNode> {
  const folder = mkdtempSync(join(tmpdir(), "dockline-plugins-"));
  installFailpointPlugin(folder);
  const state = join(folder, "state.json");
  setFailpoints(state, {});
  const node = await startNode({
    ...options,
    withoutNetwork: true,
    args: [`--cni-bin-dir=${folder},/opt/cni/bin,/usr/lib/cni`, ...(options.args ?? [])],
  });
  const file = join(node.cniConfDir, "10-test.conflist");
  const makeConfig = (): void => {
    bridgeConflist(node.cniConfDir, {
      bridge: node.bridge,
      dataDir: join(node.folder, "addresses"),
    });
    const list = JSON.parse(readFileSync(file, "utf8")) as { plugins: object[] };
    const [bridge, ...others] = list.plugins;
    list.plugins = [{ type: "failpoint", failpointState: state, delegate: bridge }, ...others];
    writeFileSync(file, JSON.stringify(list));
  };
  makeConfig();
  const original = readFileSync(file, "utf8");
  return {
    node,
    writeConfig: (list) => {
      writeFileSync(file, list === undefined ? original : JSON.stringify(list));
    },
    config: () => JSON.parse(readFileSync(file, "utf8")) as { plugins: object[] },
    removeConfig: () => rmSync(file),
    failOn: (failpoints) => setFailpoints(state, failpoints),
    calls: () => failpointCalls(state),
    verbs: () => failpointCalls(state).map(({ verb }) => verb),
    close: async () => {
      await node.close();
      rmSync(folder, { recursive: true });
    },
  };
}
