import { CriError, errorText } from "../errors.ts";
import { runProcess } from "../sys/process.ts";

const timeoutMs = 10_000;

/**
 * Writes sysctls of a pod's interfaces, once CNI has made them. /proc/sys/net is that of the process
 * which opens it: a child in the pod's network namespace writes.
 *
 * @param netns its path; `isOurs` says whether that leads to the pod's namespace still
 * @param sysctls files below /proc/sys and their values
 * @throws CriError naming the sysctl, with the kernel's words
 */
export async function writeNetnsSysctls(
  { netns, isOurs }: { netns: string; isOurs: () => Promise<boolean> },
  sysctls: readonly { readonly file: string; readonly value: string }[],
  signal: AbortSignal,
): Promise<void> {
  for (const { file, value } of sysctls) {
    if (!(await isOurs())) {
      throw new CriError("Internal", `sysctl ${file}: the pod's network namespace is gone`);
    }
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
