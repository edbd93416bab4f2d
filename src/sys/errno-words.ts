import { getSystemErrorMap } from "node:util";

/** Where libuv has other words than the kernel, or none. */
const KERNEL_WORDS: ReadonlyMap<number, readonly [string, string]> = new Map([
  [-36, ["ENAMETOOLONG", "file name too long"]],
  [-40, ["ELOOP", "too many levels of symbolic links"]],
  [-107, ["ENOTCONN", "transport endpoint is not connected"]],
  [-116, ["ESTALE", "stale file handle"]],
  [-117, ["EUCLEAN", "structure needs cleaning"]],
  [-121, ["EREMOTEIO", "remote I/O error"]],
  [-122, ["EDQUOT", "disk quota exceeded"]],
]);

/**
 * What the kernel says of a failed call: "EROFS: read-only file system"; undefined for an error that
 * is none of the kernel's.
 */
export function kernelWords(error: unknown): string | undefined {
  const errno = (error as { errno?: unknown } | null | undefined)?.errno;
  if (typeof errno !== "number") return undefined;
  const [code, words] = KERNEL_WORDS.get(errno) ?? getSystemErrorMap().get(errno) ?? [];
  return code === undefined || words === undefined ? `errno ${-errno}` : `${code}: ${words}`;
}
