import { posix } from "node:path";
import { invalidArgument } from "../errors.ts";
import { quoted, requireAbsolutePath, requirePlainText } from "./field-checks.ts";

/**
 * The absolute path of a container's log: `log_directory` joined with `log_path`, "" when the
 * caller wants no log. The kubelet always sends a path inside the directory; anything that leaves
 * it (absolute, "..", NUL) is refused, since the file is written as root.
 */
export function containerLogPath(logDirectory: string, logPath: string): string {
  if (logPath === "" || logDirectory === "") return "";
  requireAbsolutePath("log_directory", logDirectory);
  requirePlainText("log_path", logPath);
  if (logPath.startsWith("/")) {
    throw invalidArgument(`log_path: ${quoted(logPath)} must be relative to log_directory`);
  }
  const directory = posix.resolve(logDirectory);
  const path = posix.join(directory, logPath);
  const inside = directory === "/" ? "/" : `${directory}/`;
  if (path === directory || !path.startsWith(inside) || path.endsWith("/")) {
    throw invalidArgument(`log_path: ${quoted(logPath)} leaves log_directory`);
  }
  return requireAbsolutePath("log_path", path);
}
