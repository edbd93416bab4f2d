import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { root } from "../bundle.ts";

/**
 * What a program prints, run in the checkout.
 *
 * @throws Error with what the program said when it fails or is not there
 */
export function run(program: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: "utf8",
    cwd: root,
  });
  if (error !== undefined) throw missing(program, error);
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${stderr.trim()}`);
  return stdout.trim();
}

/** The same beside other programs: compressing takes most of the time, and a machine has several processors. */
export async function runBeside(program: string, ...args: string[]): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const child = spawn(program, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    const said: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => said.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => said.push(chunk));
    child.on("error", (error) => {
      reject(missing(program, error));
    });
    child.on("close", (status) => {
      if (status === 0) resolve();
      else reject(new Error(`${program} failed: ${Buffer.concat(said).toString().trim()}`));
    });
  });
}

function missing(program: string, error: Error): Error {
  if ("code" in error && error.code === "ENOENT") {
    return new Error(`${program} is not on this machine; --form leaves out what needs it`);
  }
  return new Error(`${program}: ${error.message}`);
}

export const sha256 = (path: string): string =>
  createHash("sha256").update(readFileSync(path)).digest("hex");
