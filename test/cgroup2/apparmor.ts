import { execFileSync } from "node:child_process";

/** Loads a profile into this kernel; it goes with the machine. */
export function loadProfile(name: string, rules: string): void {
  execFileSync("/usr/sbin/apparmor_parser", ["--replace", "--skip-cache"], {
    input: `profile ${name} flags=(attach_disconnected) {\n${rules}\n}\n`,
    stdio: ["pipe", "ignore", "inherit"],
  });
}
