import { spawnSync } from "node:child_process";
import {
  existsSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { takeTerm } from "./terms.ts";
import type { FailpointState } from "./terms.ts";

// The program that the starter of install.ts runs; README.md describes it.

interface Config {
  cniVersion?: string;
  name?: string;
  runtimeConfig?: unknown;
  prevResult?: unknown;
  failpointState?: string;
  delegate?: { type: string } & Record<string, unknown>;
}

const verb = process.env["CNI_COMMAND"] ?? "";
const input = readFileSync(0, "utf8");
const config = JSON.parse(input) as Config;

if (verb === "VERSION") {
  const supportedVersions = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
  process.stdout.write(JSON.stringify({ cniVersion: "1.0.0", supportedVersions }));
} else {
  await serve(config);
}

async function serve({ failpointState, delegate, ...rest }: Config): Promise<void> {
  const term = failpointState === undefined ? undefined : nextTerm(failpointState);
  const text = term?.argument ?? "";
  const runDelegate = (): { exitCode: number; stdout: string } => {
    if (delegate === undefined || verb === "STATUS" || verb === "GC") {
      return { exitCode: 0, stdout: verb === "ADD" ? passedOn(rest) : "" };
    }
    const folder = (process.env["CNI_PATH"] ?? "")
      .split(":")
      .find((path) => spawnSync("test", ["-x", join(path, delegate.type)]).status === 0);
    const ran = spawnSync(join(folder ?? "", delegate.type), {
      // One of its own lets a delegate serve in a network of a newer version than it knows.
      input: JSON.stringify({
        ...{ ...delegate, ...rest, type: delegate.type },
        cniVersion: delegate["cniVersion"] ?? rest.cniVersion,
      }),
      encoding: "utf8",
    });
    return { exitCode: ran.status ?? 1, stdout: ran.stdout };
  };
  const fail = (code = 999): void => {
    process.stdout.write(
      JSON.stringify({ cniVersion: rest.cniVersion, code, msg: text, details: "failpoint" }),
    );
    process.exitCode = 1;
  };
  switch (term?.action) {
    case "error":
      fail();
      return;
    case "try-again":
      fail(11);
      return;
    case "late-error":
      runDelegate();
      fail();
      return;
    case "panic":
      process.stderr.write(`panic: ${text}\n`);
      process.exitCode = 2;
      return;
    case "garbage":
      runDelegate();
      process.stdout.write("<html>not what you want</html>");
      return;
    case "empty":
      runDelegate();
      return;
    case "huge":
      for (;;) {
        const flushed = process.stdout.write("x".repeat(1 << 16));
        if (!flushed) await new Promise((resolve) => process.stdout.once("drain", resolve));
      }
    case "delay":
      await new Promise((resolve) => setTimeout(resolve, Number(text)));
      break;
    default:
      break;
  }
  const { exitCode, stdout } = runDelegate();
  process.stdout.write(stdout);
  process.exitCode = exitCode;
}

/** Without a delegate the plugin is one of a chain that changes nothing. */
function passedOn({ cniVersion, prevResult }: Config): string {
  return JSON.stringify(prevResult ?? { cniVersion, ips: [{ address: "192.0.2.7/24" }] });
}

/**
 * Pods are attached in parallel: one call at a time reads and rewrites the state. The lock names its
 * owner, since a plugin may be killed while it holds it.
 */
function nextTerm(path: string): ReturnType<typeof takeTerm>["term"] {
  const lock = `${path}.lock`;
  for (let tries = 0; ; tries += 1) {
    try {
      symlinkSync(`/proc/${process.pid}`, lock);
      break;
    } catch (error) {
      if (tries === 1000) throw error;
      if (!ownerLives(lock)) rmSync(lock, { force: true });
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
  try {
    return useTerm(path);
  } finally {
    rmSync(lock, { force: true });
  }
}

function ownerLives(lock: string): boolean {
  try {
    return existsSync(readlinkSync(lock));
  } catch {
    return true;
  }
}

function useTerm(path: string): ReturnType<typeof takeTerm>["term"] {
  const state = JSON.parse(readFileSync(path, "utf8")) as FailpointState;
  const key = state.failpoints?.[verb] === undefined ? "*" : verb;
  const { term, rest } = takeTerm(state.failpoints?.[key] ?? "");
  const call = {
    verb,
    containerId: process.env["CNI_CONTAINERID"] ?? "",
    netns: process.env["CNI_NETNS"] ?? "",
    args: process.env["CNI_ARGS"] ?? "",
    environment: Object.keys(process.env).sort(),
    config: config as Record<string, unknown>,
  };
  const next: FailpointState = {
    failpoints: { ...state.failpoints, [key]: rest },
    calls: [...(state.calls ?? []), call],
  };
  writeFileSync(`${path}.${process.pid}`, JSON.stringify(next, undefined, 1));
  renameSync(`${path}.${process.pid}`, path);
  return term;
}
