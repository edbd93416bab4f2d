/** How far into which of Docker's files. */
export interface SourcePosition {
  /** Inode number, decimal; a file keeps it through rotation. */
  ino: string;
  /** When it was made, nanoseconds: before its first entry is read there is no mark. Absent: not known. */
  born?: string;
  offset: number;
  /** Size when last seen, the least that can be missing when the file is gone. */
  size: number;
  /** The bytes just before `offset`, base64: an inode number alone may have been given out again. */
  mark: string;
  /** Bytes known to be missing before this file and not yet told in the log; absent: none. */
  missing?: number;
}

/** The CRI file and its length at the same moment. */
export interface TargetPosition {
  ino: string;
  length: number;
}

/** Read and written together: one without the other would lose or double lines. */
export interface Position {
  source: SourcePosition | null;
  target: TargetPosition;
  /** The container had exited and all of its output was written. */
  drained: boolean;
}

const count = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
const decimal = (value: unknown): value is string =>
  typeof value === "string" && /^\d{1,20}$/.test(value);

function isSource(value: unknown): value is SourcePosition {
  const { ino, born, offset, size, mark, missing } = Object(value) as Record<string, unknown>;
  return (
    decimal(ino) &&
    count(offset) &&
    count(size) &&
    typeof mark === "string" &&
    (born === undefined || decimal(born)) &&
    (missing === undefined || count(missing))
  );
}

/** What was read from a file as a position; undefined when it is none. */
export function asPosition(value: unknown): Position | undefined {
  const { source, target, drained } = Object(value) as Record<string, unknown>;
  if (typeof drained !== "boolean") return undefined;
  if (source !== null && !isSource(source)) return undefined;
  const { ino, length } = Object(target) as Record<string, unknown>;
  if (!decimal(ino) || !count(length)) return undefined;
  return { source, target: { ino, length }, drained };
}
