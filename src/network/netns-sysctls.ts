import { CriError, errorText } from "../errors.ts";
import { runProcess } from "../sys/process.ts";
import { inspectNetns } from "./netns.ts";

const timeoutMs = 10_000;

/**
 * Writes sysctls of a pod's interfaces, once CNI has made them. /proc/sys/net is that of the process
 * which opens it: a child in the pod's network namespace writes.
 *
 * @param sysctls files below /proc/sys and their values
 * @throws CriError naming the sysctl, with the kernel's words
 */
export async function writeNetnsSysctls(
  netns: string,
  sysctls: readonly { readonly file: string; readonly value: string }[],
  signal: AbortSignal,
): Promise<void> {
  if (sysctls.length === 0) return;
  if ((await inspectNetns(netns)) !== "pod") {
    throw new CriError("Internal", "sysctls: the pod's network namespace is gone");
  }
  for (const { file, value } of sysctls) {
    const args = [`--net=${netns}`, "tee", `/proc/sys/${file}`];
    const words = await runProcess("nsenter", args, {
      stdin: value,
      timeoutMs,
      signal,
      step: { kind: "process", name: "sysctl" },
    }).then(
      ({ exitCode, stderr }) => (exitCode === 0 ? "" : stderr.trim() || `exit code ${exitCode}`),
      errorText,
    );
    if (words !== "") throw new CriError("Internal", `sysctl ${file}: ${words}`);
  }
}
