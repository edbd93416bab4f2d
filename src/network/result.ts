import { isIP } from "node:net";
import { CniError } from "./cni-error.ts";
import { isJsonObject } from "./conflist.ts";
import type { JsonObject } from "./conflist.ts";
import { parseAnswer } from "./plugin.ts";

/**
 * Checks the answer to an ADD. The object itself is kept whole, since the next plugin and DEL get it
 * back; an answer without `cniVersion` has that of its configuration. Throws CniError.
 */
export function parseResult(type: string, stdout: string, cniVersion: string): JsonObject {
  const result = parseAnswer({ type, verb: "ADD" }, stdout);
  // A plugin that prints its error object and yet exits with 0 has not succeeded.
  if (typeof result["code"] === "number" && typeof result["msg"] === "string") {
    throw new CniError({ plugin: type, verb: "ADD", failure: "plugin" }, result["msg"]);
  }
  if (result["cniVersion"] === undefined || result["cniVersion"] === "") {
    return { ...result, cniVersion };
  }
  return result;
}

/**
 * The pod's addresses, without prefix lengths, in the order of the result and each once: the first
 * is the pod's primary one for the kubelet. Addresses that the result puts on another interface
 * count only when the pod's own has none. Throws CniError `result` for an address that is none.
 */
export function podIps(result: JsonObject, ifName: string, plugin = "chain"): string[] {
  const entries = addressEntries(result);
  const interfaces: unknown[] = Array.isArray(result["interfaces"]) ? result["interfaces"] : [];
  const ranked = entries.map((entry) => {
    const address = parseAddress(entry["address"] ?? entry["ip"], plugin);
    const index = entry["interface"];
    const on: unknown = typeof index === "number" ? interfaces[index] : undefined;
    if (!isJsonObject(on)) return { address, rank: 0 };
    if (typeof on["sandbox"] !== "string" || on["sandbox"] === "") return { address, rank: 2 };
    return { address, rank: on["name"] === ifName ? 0 : 1 };
  });
  const best = Math.min(...ranked.map(({ rank }) => rank));
  const chosen = ranked.filter(({ rank }) => rank === best).map(({ address }) => address);
  return [...new Set(chosen)];
}

/** `ips` since 0.3.0; before that one object for each family. */
function addressEntries(result: JsonObject): JsonObject[] {
  const list = result["ips"];
  if (Array.isArray(list)) return list.filter(isJsonObject);
  return [result["ip4"], result["ip6"]].filter(isJsonObject);
}

function parseAddress(value: unknown, plugin: string): string {
  const refuse = (): never => {
    throw new CniError(
      { plugin, verb: "ADD", failure: "result" },
      "its result holds an address that is not an IP address with a prefix length",
    );
  };
  if (typeof value !== "string") return refuse();
  const [address = "", prefix, ...rest] = value.split("/");
  const family = isIP(address);
  if (family === 0 || address.includes("%") || rest.length > 0) return refuse();
  if (prefix !== undefined) {
    if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > (family === 4 ? 32 : 128)) return refuse();
  }
  return address;
}
