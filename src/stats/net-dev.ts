import type { InterfaceFigures } from "./figures.ts";
import { readKernelFile } from "./kept-file.ts";
import { wholeNumber } from "./scan.ts";

export interface NetworkFigures {
  atNs: bigint;
  /** Without the loopback. */
  interfaces: InterfaceFigures[];
  /** The one with the default route, eth0 where there is none; undefined without interfaces. */
  defaultInterface: InterfaceFigures | undefined;
}

/** A name of 15 bytes and 16 counters of up to 20 digits. */
const longestLine = 512;

/**
 * Counters of the network namespace that a process is in. Opened for each reading: a descriptor that
 * is kept would keep the namespace alive after its pod.
 */
export function readNetwork(pid: number, atNs: bigint, proc = "/proc"): NetworkFigures | undefined {
  const text = readKernelFile(`${proc}/${pid}/net/dev`, longestLine);
  if (text === undefined) return undefined;
  const interfaces = parseNetDev(text).filter(({ name }) => name !== "lo");
  // One interface is the rule; only with more of them is the route worth a second file.
  const [only, second] = interfaces;
  if (only === undefined) return { atNs, interfaces, defaultInterface: undefined };
  const wanted =
    second === undefined
      ? only.name
      : (defaultRouteOf(readKernelFile(`${proc}/${pid}/net/route`) ?? "") ?? "eth0");
  const found = interfaces.find(({ name }) => name === wanted);
  return { atNs, interfaces, defaultInterface: found ?? only };
}

/** `/proc/net/dev`: two lines of heading, then one for each interface. */
export function parseNetDev(text: string): InterfaceFigures[] {
  const found: InterfaceFigures[] = [];
  for (const line of text.split("\n").slice(2)) {
    const colon = line.lastIndexOf(":");
    if (colon === -1) continue;
    const columns = line
      .slice(colon + 1)
      .trim()
      .split(/ +/)
      .map((column) => wholeNumber(column) ?? 0n);
    const column = (at: number): bigint => columns[at] ?? 0n;
    found.push({
      name: line.slice(0, colon).trim(),
      rxBytes: column(0),
      rxPackets: column(1),
      rxErrors: column(2),
      rxDropped: column(3),
      txBytes: column(8),
      txPackets: column(9),
      txErrors: column(10),
      txDropped: column(11),
    });
  }
  return found;
}

/** `/proc/net/route`: destination 00000000 with a mask of zero. */
export function defaultRouteOf(text: string): string | undefined {
  for (const line of text.split("\n").slice(1)) {
    const [name, destination, , , , , , mask] = line.split("\t");
    if (destination === "00000000" && mask === "00000000") return name;
  }
  return undefined;
}
