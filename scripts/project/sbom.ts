import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { root } from "../bundle.ts";
import { otherParts } from "./third-parties.ts";
import type { ThirdParty } from "./third-parties.ts";

/** The part of a CycloneDX document that is changed here. */
export interface Bom {
  serialNumber: string;
  metadata: { timestamp: string; component: { name: string } };
  components: object[];
}

/**
 * `npm run sbom >FILE`: the software bill of materials of a release, as CycloneDX JSON: npm's own list
 * of what is installed at run time, and the parts that npm does not know. The same commit gives the
 * same bytes: the time is SOURCE_DATE_EPOCH, or the commit's. Needs npm 10 or newer.
 */
if (import.meta.main) {
  const bom = JSON.parse(
    run("npm", "sbom", "--package-lock-only", "--omit=dev", "--sbom-format=cyclonedx"),
  ) as Bom;
  const epoch = Number(process.env["SOURCE_DATE_EPOCH"] ?? run("git", "log", "-1", "--format=%ct"));
  process.stdout.write(
    `${JSON.stringify(complete(bom, otherParts(), new Date(epoch * 1000)), null, 2)}\n`,
  );
}

/** Adds the parts, names the product, and takes out what differs from run to run. */
export function complete(bom: Bom, parts: readonly ThirdParty[], time: Date): Bom {
  const components = [...bom.components, ...parts.map(componentOf)];
  const metadata = {
    ...bom.metadata,
    timestamp: time.toISOString(),
    // npm takes the name of the checkout's directory.
    component: { ...bom.metadata.component, name: "dockline" },
  };
  const hash = createHash("sha256").update(JSON.stringify({ metadata, components })).digest("hex");
  const uuid = [
    ...[hash.slice(0, 8), hash.slice(8, 12)],
    // Version 8 of RFC 9562: made from a hash of one's own choice.
    ...[`8${hash.slice(13, 16)}`, `8${hash.slice(17, 20)}`, hash.slice(20, 32)],
  ].join("-");
  return { ...bom, serialNumber: `urn:uuid:${uuid}`, metadata, components };
}

function componentOf({ name, version, licence, use, homepage }: ThirdParty): object {
  return {
    "bom-ref": `${name}@${version}`,
    type: "library",
    name,
    version,
    description: use,
    licenses: [licence.includes(" ") ? { expression: licence } : { license: { id: licence } }],
    externalReferences: homepage === undefined ? [] : [{ type: "website", url: homepage }],
  };
}

function run(program: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: "utf8",
    cwd: root,
    maxBuffer: 64 << 20,
  });
  if (error !== undefined) throw new Error(`${program}: ${error.message}`);
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${stderr.trim()}`);
  return stdout.trim();
}
