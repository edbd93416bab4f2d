import { CriError } from "../errors.ts";
import type { Option, OptionKey } from "./options.ts";

const bad = (message: string): CriError => new CriError("InvalidArgument", message);

/**
 * Text as an option's type wants it. Throws InvalidArgument.
 *
 * @param where what the operator wrote it to: a flag, a variable, a key of the file
 */
export function parseValue(key: OptionKey, option: Option, text: string, where: string): unknown {
  switch (option.type) {
    case "string":
      if (key === "networkPlugin" && text !== "cni") {
        throw bad(
          `${where}=${text}: only cni is supported; install a CNI configuration in --cni-conf-dir (kubenet: use the bridge plugin with host-local and --pod-cidr)`,
        );
      }
      if (option.choices !== undefined && !option.choices.includes(text)) {
        throw bad(`${where}=${text}: want one of ${option.choices.join(", ")}`);
      }
      return text;
    case "boolean":
      if (text !== "true" && text !== "false") throw bad(`${where}=${text}: want true or false`);
      return text === "true";
    case "integer":
      if (!/^\d{1,9}$/.test(text)) throw bad(`${where}=${text}: want a whole number`);
      return Number(text);
    case "duration":
      return parseDurationMs(where, text);
    case "list": {
      const items = text
        .split(",")
        .map((item) => item.trim())
        .filter((item) => item !== "");
      if (key === "absentMountSourcesToReject" && !items.every((item) => item.startsWith("/"))) {
        throw bad(`${where}=${text}: want absolute paths`);
      }
      return items;
    }
  }
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Go's duration form ("1m30s", "500ms"; a bare 0), as cri-dockerd's flags take it. */
export function parseDurationMs(where: string, text: string): number {
  if (text === "0") return 0;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join("") !== text) {
    throw bad(`${where}=${text}: want a duration such as 90s or 1m30s`);
  }
  return parts.reduce((sum, part) => sum + Number(part[1]) * (unitMs[part[2] ?? ""] ?? 0), 0);
}

/** The same the other way round, for `dockline config`. */
export function durationText(ms: number): string {
  if (ms === 0) return "0s";
  const units = Object.entries(unitMs).reverse();
  const [unit, size] = units.find(([, candidate]) => ms % candidate === 0) ?? ["ms", 1];
  return `${ms / size}${unit}`;
}
