import { expect } from "chai";
import { failpointFile } from "../support/failpoint-file.ts";
import { startFailpointNode } from "../support/failpoint-node.ts";
import type { FailpointNode } from "../support/failpoint-node.ts";
import type { TestNode } from "../support/node.ts";
import { newRunc, startOciEngine } from "../support/oci-engine.ts";
import type { OciEngine } from "../support/oci-engine.ts";
import { unpackPackages } from "./installed-package.ts";
import type { Release } from "./installed-package.ts";

/** A node on an engine of its own, which runs what the installed package has, dockline-oci included. */
export interface UpgradeNode {
  readonly node: TestNode;
  readonly plugins: FailpointNode;
  /** Whether pods can have `hostUsers: false`. */
  readonly hasUserns: boolean;
  /** Ends Dockline at this place of `work`, which must be reached. */
  killAt(place: string, work: () => Promise<unknown>): Promise<void>;
  start(): Promise<void>;
  /** Another package in place of the one that is there, and Dockline started from it. */
  change(to: Release): Promise<void>;
  close(): Promise<void>;
}

/** What releases say of themselves at their start; older ones said that they are up. */
const started = /"version":"([^"]+)".*"dockline is (?:starting|up)"/g;

export async function startUpgradeNode(): Promise<UpgradeNode> {
  const installed = unpackPackages();
  installed.install("old");
  const failpoint = failpointFile();
  const runDir = installed.folder("run");
  const runc = newRunc();
  const args = [`--edits=${runDir}/oci`];
  if (runc !== undefined) args.push(`--real-runtime=${runc}`);
  let engine: OciEngine | undefined;
  let plugins: FailpointNode;
  try {
    engine = await startOciEngine(
      { dockline: args },
      { program: installed.path("usr/lib/dockline/dockline-oci") },
    );
    plugins = await startFailpointNode({
      upstream: engine.folder("s"),
      program: installed.path("usr/lib/dockline/bin/dockline"),
      args: [`--run-dir=${runDir}`],
      environment: failpoint.environment,
    });
  } catch (error) {
    await engine?.remove();
    installed.remove();
    throw error;
  }
  const { node } = plugins;
  const start = async (): Promise<void> => await node.start(failpoint.environment);
  return {
    node,
    plugins,
    hasUserns: runc !== undefined,
    killAt: async (place, work) => {
      failpoint.arm(place);
      const failed = work().then(
        () => false,
        () => true,
      );
      await node.ended();
      failpoint.arm("");
      expect(await failed, "the call ends with the process").to.equal(true);
    },
    start,
    change: async (to) => {
      // As under systemd: what was killed runs again, and ends by a signal when the package is exchanged.
      if (node.pid === 0) await start();
      installed.install(to);
      await node.terminate();
      await start();
      const versions = [...node.log().matchAll(started)];
      expect(versions.at(-1)?.[1]).to.equal(installed.version(to));
    },
    close: async () => {
      await plugins.close();
      await engine.remove();
      failpoint.remove();
      installed.remove();
    },
  };
}
