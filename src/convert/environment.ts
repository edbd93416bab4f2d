import { invalidArgument } from "../errors.ts";
import type { KeyValue } from "../gen/runtime/v1/api_pb.js";
import { quoted } from "./field-checks.ts";

/**
 * Environment variables → Docker's "KEY=value". Docker's API is JSON, as the OCI runtime's configuration is, so
 * bytes that are no UTF-8 become U+FFFD, as under every other runtime. Messages name the variable and never show
 * its value.
 */
export function toDockerEnvironment(envs: readonly KeyValue[]): string[] {
  return envs.map(({ key, value }, index) => {
    // One with "=" passes, as with every other runtime: the process gets all that follows the first one as the value.
    if (key === "" || key.includes("\0")) {
      throw invalidArgument(`envs[${index}]: ${quoted(key)} is not a variable's name`);
    }
    if (value.includes(0)) {
      throw invalidArgument(`envs: the value of ${quoted(key)} holds a NUL`);
    }
    return `${key}=${decode(value) ?? replaced(value)}`;
  });
}

/** The names of the variables whose values do not arrive as they were sent. */
export function replacedVariables(envs: readonly KeyValue[]): string[] {
  return envs.filter(({ value }) => decode(value) === undefined).map(({ key }) => key);
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decode(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** In Go's way, one U+FFFD for each odd byte, where JavaScript's own decoder joins some of them. */
function replaced(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length;) {
    const lead = bytes[at] ?? 0;
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const character = decode(bytes.subarray(at, at + length));
    text += character ?? "\ufffd";
    at += character === undefined ? 1 : length;
  }
  return text;
}
