import { CriError, invalidArgument } from "../errors.ts";

/** C0 controls and DEL: no name, path or option that goes to Docker or into a file may hold one. */

const CONTROL = /[\u0000-\u001f\u007f]/;

/** PATH_MAX of Linux, the trailing NUL included. */
const MAX_PATH_BYTES = 4096;

export function hasControlCharacter(text: string): boolean {
  return CONTROL.test(text);
}

/** Text as it may stand in an error message: quoted, short, on one line. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

/** Refuses control characters (a newline would start a new line in resolv.conf, a log or a rule). */
export function requirePlainText(field: string, text: string): string {
  if (CONTROL.test(text)) throw invalidArgument(`${field}: control characters are not allowed`);
  return text;
}

/** Refuses NUL, which ends a string for the kernel although JSON carries it. */
export function requireNoNul(field: string, text: string): string {
  if (text.includes("\0")) throw invalidArgument(`${field}: NUL is not allowed`);
  return text;
}

/** An absolute path of the node or of a container, exactly as given. */
export function requireAbsolutePath(field: string, path: string): string {
  return requireMountPath(field, requirePlainText(field, path));
}

/** The same for the paths of a mount, which may hold a newline as on other runtimes. */
export function requireMountPath(field: string, path: string, maxBytes = MAX_PATH_BYTES): string {
  requireNoNul(field, path);
  if (path === "") throw invalidArgument(`${field}: must not be empty`);
  if (!path.startsWith("/")) throw invalidArgument(`${field}: ${quoted(path)} is not absolute`);
  if (Buffer.byteLength(path) >= maxBytes) throw invalidArgument(`${field}: too long`);
  return path;
}

/** A CRI int64 that must fit a JSON number exactly. */
export function requireSafeInteger(
  field: string,
  value: bigint,
  lowest: bigint,
  highest = BigInt(Number.MAX_SAFE_INTEGER),
): number {
  if (value < lowest || value > highest) {
    throw invalidArgument(
      `${field}: ${String(value)} is not in ${String(lowest)}…${String(highest)}`,
    );
  }
  return Number(value);
}

/** A field that is valid CRI but that this engine or Dockline cannot honour. */
export function unimplemented(message: string): CriError {
  return new CriError("Unimplemented", message);
}

/** A copy whose keys are own properties whatever their name ("__proto__" is a legal label key). */
export function copyRecord(source: Readonly<Record<string, string>>): Record<string, string> {
  const copy = emptyRecord();
  for (const key of Object.keys(source)) copy[key] = source[key] ?? "";
  return copy;
}

export function emptyRecord(): Record<string, string> {
  return Object.create(null) as Record<string, string>;
}

/** Of what JSON.parse gives: an object, and no list. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
