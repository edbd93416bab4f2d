import { invalidArgument } from "../errors.ts";
import type { KeyValue } from "../gen/runtime/v1/api_pb.js";
import { quoted } from "./field-checks.ts";

/**
 * Environment variables → Docker's "KEY=value". Docker's API is JSON, so a value must be UTF-8;
 * messages name the variable and never show its value.
 */
export function toDockerEnvironment(envs: readonly KeyValue[]): string[] {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  return envs.map(({ key, value }, index) => {
    if (key === "" || key.includes("=") || key.includes("\0")) {
      throw invalidArgument(`envs[${index}]: ${quoted(key)} is not a variable's name`);
    }
    let text: string;
    try {
      text = decoder.decode(value);
    } catch {
      throw invalidArgument(
        `envs: the value of ${quoted(key)} is not UTF-8, which Docker requires`,
      );
    }
    if (text.includes("\0")) throw invalidArgument(`envs: the value of ${quoted(key)} holds a NUL`);
    return `${key}=${text}`;
  });
}
