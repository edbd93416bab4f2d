import type { ResumedLog } from "./container-logs.ts";

/** Rejects when the file system of a log folder does not answer within seconds. */
export type MustAnswer = (logDirectory: string) => Promise<void>;

/**
 * Asks each log folder once, all at the same time, and gives the answers by folder: one on a disk that hangs
 * must hold up the logs of its own containers only. Each answer has to be waited for by somebody.
 */
export function askFolders(
  targets: readonly ResumedLog[],
  mustAnswer: MustAnswer,
): Map<string, Promise<void>> {
  const folders = new Set(targets.map(({ logDirectory }) => logDirectory));
  return new Map([...folders].map((folder) => [folder, mustAnswer(folder)]));
}
