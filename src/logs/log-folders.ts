import type { ResumedLog } from "./container-logs.ts";

/** Rejects when the file system of a log folder does not answer within seconds. */
export type MustAnswer = (logDirectory: string) => Promise<void>;

/**
 * Asks each log folder once, all at the same time: one on a disk that hangs must hold up the logs of its own
 * containers only.
 */
export async function askFolders(
  targets: readonly ResumedLog[],
  mustAnswer: MustAnswer,
): Promise<{ answering: ResumedLog[]; silent: { target: ResumedLog; error: unknown }[] }> {
  const answers = new Map<string, Promise<{ error?: unknown }>>();
  for (const { logDirectory } of targets) {
    if (answers.has(logDirectory)) continue;
    const answer = mustAnswer(logDirectory).then(
      () => ({}),
      (error: unknown) => ({ error }),
    );
    answers.set(logDirectory, answer);
  }
  const answering: ResumedLog[] = [];
  const silent: { target: ResumedLog; error: unknown }[] = [];
  for (const target of targets) {
    const answer = (await answers.get(target.logDirectory)) ?? {};
    if ("error" in answer) silent.push({ target, error: answer.error });
    else answering.push(target);
  }
  return { answering, silent };
}
