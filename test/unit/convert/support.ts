import { expect } from "chai";
import type { EngineFacts } from "../../../src/convert/engine-facts.ts";
import { CriError, type ErrorKind } from "../../../src/errors.ts";

/** A current engine with everything; tests take things away. */
export const modern: EngineFacts = {
  apiMinor: 52,
  cgroupDriver: "systemd",
  cgroupVersion: 2,
  usernsRemap: false,
  selinuxEnabled: false,
  apparmorEnabled: true,
  runtimes: ["runc", "crun", "runsc"],
  defaultRuntime: "runc",
  oomScoreFloor: -1000,
  logMaxSize: "16m",
  logMaxFiles: 4,
  shimPerPod: true,
  dockerRootDir: "/var/lib/docker",
  cdiFolders: ["/etc/cdi", "/var/run/cdi"],
};

/** Debian's Docker 20.10 on cgroup v1. */
export const old: EngineFacts = {
  ...modern,
  apiMinor: 41,
  cgroupDriver: "cgroupfs",
  cgroupVersion: 1,
  apparmorEnabled: false,
  cdiFolders: [],
};

export function refuses(
  act: () => unknown,
  message: RegExp,
  kind: ErrorKind = "InvalidArgument",
): void {
  expect(act).to.throw(CriError, message).with.property("kind", kind);
}

/** A number that an enum of the CRI does not have, as a newer client may send it. */
export const unknownEnum = (value: number): never => value as never;
