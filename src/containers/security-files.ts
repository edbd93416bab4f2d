import { constants, readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { localhostAppArmorProfile } from "../convert/apparmor.ts";
import { localhostSeccompPath } from "../convert/seccomp.ts";
import { CriError, invalidArgument } from "../errors.ts";
import type { SecurityProfile } from "../gen/runtime/v1/api_pb.js";
import type { HostPaths } from "./host-paths.ts";
import { isErrno } from "../sys/fs.ts";

/** Profiles are some kilobytes; a log file named by mistake is not read into memory. */
const profileLimitBytes = 1 << 20;

/** Text of a localhost seccomp profile; undefined when none is asked. Read once, at create. */
export async function readSeccompProfile(
  profile: SecurityProfile | undefined,
  deprecatedPath = "",
  privileged = false,
  hostPaths?: Pick<HostPaths, "mustAnswer">,
): Promise<string | undefined> {
  const path = localhostSeccompPath(profile, deprecatedPath, privileged);
  if (path === undefined) return undefined;
  await hostPaths?.mustAnswer(path, "seccomp profile");
  try {
    // Without O_NONBLOCK a FIFO of that name would block the open forever.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const found = await file.stat();
      // A device has size 0 and no end.
      if (!found.isFile()) throw invalidArgument(`seccomp: profile ${path} is not a regular file`);
      if (found.size > profileLimitBytes) {
        throw invalidArgument(`seccomp: profile ${path} is larger than ${profileLimitBytes} bytes`);
      }
      return await file.readFile("utf8");
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EISDIR", "EACCES")) {
      throw invalidArgument(`seccomp: profile ${path} cannot be read`);
    }
    throw error;
  }
}

/** An AppArmor profile that is not loaded is refused at create: Docker would fail only at start. */
export function requireAppArmorProfile(
  profile: SecurityProfile | undefined,
  deprecated: string,
): void {
  const name = localhostAppArmorProfile(profile, deprecated);
  if (name === undefined) return;
  let loaded: string;
  try {
    loaded = readFileSync("/sys/kernel/security/apparmor/profiles", "utf8");
  } catch (error) {
    // Without AppArmor the translation refuses the profile itself.
    if (isErrno(error, "ENOENT", "EACCES", "ENOTDIR")) return;
    throw error;
  }
  const known = loaded.split("\n").some((line) => line.slice(0, line.lastIndexOf(" (")) === name);
  if (!known) {
    throw new CriError("InvalidArgument", `apparmor: profile ${name} is not loaded on this node`);
  }
}
