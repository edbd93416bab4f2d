import { existsSync } from "node:fs";
import { join } from "node:path";

/** One of the small native programs that belong to this one: deploy/<folder>/dockline-<folder>-<architecture>. */
export type NativeProgram = "dial" | "oci";

/** Where it may lie: in the package, beside the bundle, in a checkout. */
export function nativeCandidates(program: NativeProgram): string[] {
  const name = `dockline-${program}-${process.arch === "arm64" ? "arm64" : "amd64"}`;
  const here = import.meta.dirname;
  return [
    join(here, "..", `dockline-${program}`),
    join(here, name),
    join(here, "..", "deploy", program, name),
    join(here, "..", "..", "deploy", program, name),
  ];
}

/** @throws Error naming the places, when it is at none of them */
export function nativeProgram(program: NativeProgram): string {
  const candidates = nativeCandidates(program);
  const found = candidates.find((path) => existsSync(path));
  if (found === undefined) {
    throw new Error(`dockline-${program} is at none of ${candidates.join(", ")}`);
  }
  return found;
}
