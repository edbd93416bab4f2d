import { expect } from "chai";
import { commandFault } from "../../../src/engine/command-fault.ts";

const runc = "OCI runtime exec failed: exec failed: unable to start container process: ";
const noLog =
  "OCI runtime exec failed: unable to retrieve OCI runtime error (open /run/containerd/x/log.json: no such file or directory): ";

describe("the fault of a command that could not be run", () => {
  for (const [text, code] of [
    [`${runc}exec: "/no": stat /no: no such file or directory: unknown`, 127],
    [`${runc}exec: "no": executable file not found in $PATH: unknown`, 127],
    [`${runc}exec: "/etc": permission denied: unknown`, 126],
    ["OCI runtime exec failed: open executable: Permission denied: unknown", 126],
    ["OCI runtime exec failed: chdir to `/w`: No such file or directory: unknown", 127],
    ["OCI runtime exec failed: chdir: No such file or directory: unknown", 127],
    ["OCI runtime exec failed: exec container process `/x`: Exec format error: unknown", 126],
    [
      `${noLog}runsc did not terminate successfully: exit status 128: error finding executable "no" in PATH [/bin]: no such file or directory: unknown`,
      127,
    ],
  ] as const) {
    it(`has the exit code ${code}: ${text}`, () => {
      expect(commandFault(text)?.exitCode).to.equal(code);
    });
  }

  for (const text of [
    // The OCI runtime itself is not there, while its package is exchanged.
    `${noLog}exec: "runc": executable file not found in $PATH: unknown`,
    `${noLog}fork/exec /usr/bin/runc: no such file or directory: unknown`,
    `${noLog}fork/exec /usr/bin/runc: text file busy: unknown`,
    "OCI runtime exec failed: cannot open sd-bus: No such file or directory: unknown",
    "OCI runtime exec failed: cannot find memory cgroup: No such file or directory: unknown",
    "OCI runtime exec failed: cannot open `/proc/self/setgroups`: Permission denied: unknown",
    `${runc}exec /bin/sh: cannot allocate memory: unknown`,
    `${runc}exec: "/bin/sh": fork: resource temporarily unavailable: unknown`,
    `${runc}exec: "/bin/sh": stat /bin/sh: too many open files in system: unknown`,
  ]) {
    it(`is none of the command's: ${text}`, () => {
      expect(commandFault(text)).to.equal(undefined);
    });
  }
});
