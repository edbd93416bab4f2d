import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { removeRules } from "./host-tables.ts";

/** A second octet of 10.x/16 that is this bridge's own, so that nodes of parallel suites don't meet. */
function subnetOf(bridge: string): string {
  const number = Buffer.from(bridge).reduce((sum, byte) => (sum * 31 + byte) % 60_000, 7);
  return `10.${200 + (number % 50)}.${number % 250}.0/24`;
}

/** bridge + host-local + portmap, one address family; everything under names of the test's own. */
export function bridgeConflist(
  confDir: string,
  options: { bridge: string; dataDir: string; cniVersion?: string },
): void {
  const conflist = {
    cniVersion: options.cniVersion ?? "1.0.0",
    name: options.bridge,
    plugins: [
      {
        type: "bridge",
        bridge: options.bridge,
        isGateway: true,
        ipMasq: true,
        hairpinMode: true,
        ipam: {
          type: "host-local",
          dataDir: options.dataDir,
          ranges: [[{ subnet: subnetOf(options.bridge) }]],
          routes: [{ dst: "0.0.0.0/0" }],
        },
      },
      { type: "portmap", capabilities: { portMappings: true }, snat: true },
    ],
  };
  writeFileSync(join(confDir, "10-test.conflist"), JSON.stringify(conflist));
}

export function removeBridge(bridge: string): void {
  try {
    execFileSync("ip", ["link", "delete", bridge], { stdio: "ignore" });
  } catch {
    // No pod was attached: the plugin never made it.
  }
  // The bridge plugin leaves these when the namespace is reported as gone.
  removeRules("nat", (line) => line.includes(`\\"${bridge}\\"`));
}
