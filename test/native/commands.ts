import { existsSync } from "node:fs";
import { join } from "node:path";

const deploy = join(import.meta.dirname, "..", "..", "deploy");
const emulator = ["/usr/bin/qemu-aarch64-static", "/usr/bin/qemu-aarch64"].find(existsSync);
export const architectures = ["amd64", "arm64"] as const;
export type Architecture = (typeof architectures)[number];

/** How a program of this architecture is started here. */
export function commandOf(program: string, architecture: Architecture): [string, ...string[]] {
  const path = join(
    deploy,
    program,
    `${program === "pause" ? program : `dockline-${program}`}-${architecture}`,
  );
  if (architecture === process.arch.replace("x64", "amd64")) return [path];
  if (architecture === "amd64") throw new Error("this test emulates arm64 on amd64");
  if (emulator === undefined) {
    throw new Error("the arm64 programs cannot run here: install qemu-user-static");
  }
  return [emulator, path];
}
