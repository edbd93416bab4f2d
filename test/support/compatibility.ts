import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { basename, join } from "node:path";
import type { Context, Suite, Test } from "mocha";
import { formatResults, resultsFolder } from "./compatibility-results.ts";
import { engineGet } from "./engine-get.ts";
import type { FileResults, LaneNode } from "./compatibility-results.ts";

// Loaded by .mocharc.integration.json, .mocharc.engines.json, scripts/test-cgroup2.sh and scripts/test-systemd.sh. With DOCKLINE_COMPATIBILITY_LANE=<lane> a run writes what passed, on which engine, store, cgroups
// and runtime, to docs/compatibility/<lane>.json; the page is made from it (npm run docs:compatibility).

const lane = process.env["DOCKLINE_COMPATIBILITY_LANE"];
/** A run of tagged tests sees no others. As mocha hands it to its own process. */
const tag = process.argv.find((word) => word.startsWith("--grep="))?.slice("--grep=".length);
const isTagged = (test: Test): boolean => tag === undefined || test.fullTitle().includes(tag);
/** `file: title` → whether its last try passed. */
const passed = new Map<string, boolean>();

export const mochaHooks =
  lane === undefined
    ? {}
    : {
        afterEach(this: Context): void {
          const test = this.currentTest;
          if (test !== undefined) passed.set(nameOf(test), test.state === "passed");
        },
        async afterAll(this: Context): Promise<void> {
          let root = this.test?.parent as Suite;
          while (root.parent !== undefined) root = root.parent;
          await save(lane, root);
        },
      };

const fileOf = (test: Test): string => basename(test.file ?? "", ".test.ts");
const nameOf = (test: Test): string => `${fileOf(test)}: ${test.fullTitle()}`;

/** Files that did not run this time keep their results. */
async function save(name: string, root: Suite): Promise<void> {
  const path = join(resultsFolder, `${name}.json`);
  const seen: Record<string, { passed: number; skipped: number; failed: string[] }> = {};
  root.eachTest((test) => {
    if (!isTagged(test)) return;
    const file = (seen[fileOf(test)] ??= { passed: 0, skipped: 0, failed: [] });
    if (test.isPending()) file.skipped += 1;
    else if (passed.get(nameOf(test)) === true) file.passed += 1;
    else file.failed.push(test.fullTitle());
  });
  const old = existsSync(path)
    ? (JSON.parse(readFileSync(path, "utf8")) as { files: Record<string, FileResults> }).files
    : {};
  mkdirSync(resultsFolder, { recursive: true });
  writeFileSync(path, formatResults({ node: await describeNode(), files: { ...old, ...seen } }));
}

interface Info {
  readonly ServerVersion: string;
  readonly Driver: string;
  readonly DriverStatus: readonly (readonly [string, string])[] | null;
  readonly CgroupVersion?: string;
  readonly CgroupDriver: string;
  readonly DefaultRuntime: string;
  readonly SecurityOptions: readonly string[] | null;
  readonly OperatingSystem: string;
}

interface Version {
  readonly ApiVersion: string;
  readonly Components: readonly { readonly Name: string; readonly Version: string }[];
}

async function describeNode(): Promise<LaneNode> {
  const info = (await engineGet("/info")) as Info;
  const version = (await engineGet("/version")) as Version;
  const component = (name: string): string =>
    version.Components.find(({ Name }) => Name === name)?.Version.replace(/^v|[~+].*/g, "") ?? "?";
  const containerdStore =
    info.DriverStatus?.some(([, value]) => /snapshotter/.test(value)) === true;
  const security = info.SecurityOptions ?? [];
  return {
    engine: info.ServerVersion.replace(/\+.*/, ""),
    api: version.ApiVersion,
    store: containerdStore ? `containerd (${info.Driver})` : info.Driver,
    cgroups: `v${info.CgroupVersion ?? "1"}, ${info.CgroupDriver}`,
    runtime: `${info.DefaultRuntime} ${component(info.DefaultRuntime)}`,
    containerd: component("containerd"),
    system: info.OperatingSystem.replace(/^(\S+ )GNU\/Linux /, "$1").replace(/ \(.*/, ""),
    kernel: release().replace(/^(\d+\.\d+).*/, "$1"),
    appArmor: security.some((option) => option.includes("apparmor")),
  };
}
