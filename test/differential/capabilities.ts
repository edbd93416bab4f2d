import type { Accepted, Pair } from "./accepted.ts";
import type { Difference } from "./compare.ts";

/** Numbers of the names that configurations use. */
export const capabilityNumbers: Record<string, number> = {
  ...{ CHOWN: 0, DAC_OVERRIDE: 1, FOWNER: 3, KILL: 5, SETGID: 6, SETUID: 7, NET_BIND_SERVICE: 10 },
  ...{ NET_ADMIN: 12, NET_RAW: 13, SYS_CHROOT: 18, SYS_PTRACE: 19, SYS_ADMIN: 21, SYS_TIME: 25 },
  ...{ MKNOD: 27, AUDIT_WRITE: 29, SETFCAP: 31, PERFMON: 38, BPF: 39, CHECKPOINT_RESTORE: 40 },
};
/** Docker 20.10 knows the capabilities up to this one. */
const lastOfOldEngines = 37;

/** Why Dockline's set may have a capability that containerd's lacks, or the other way round. */
type Reason = (number: number, onlyDockline: boolean, pair: Pair) => boolean;

const numberOf = (name: string): number | undefined => capabilityNumbers[bare(name)];
const bare = (name: string): string => name.toUpperCase().replace(/^CAP_/, "");
const added = ({ container }: Pair): string[] =>
  container?.linux?.securityContext?.capabilities?.addCapabilities ?? [];
const dropped = ({ container }: Pair): string[] =>
  container?.linux?.securityContext?.capabilities?.dropCapabilities ?? [];
const prefixed = (name: string): boolean => name.toUpperCase().startsWith("CAP_");

const reasons: Record<"prefix" | "both" | "newer", Reason> = {
  prefix: (number, onlyDockline, pair) =>
    (onlyDockline ? added(pair) : dropped(pair)).some(
      (name) => prefixed(name) && numberOf(name) === number,
    ),
  both: (number, onlyDockline, pair) =>
    onlyDockline &&
    added(pair).some((name) => numberOf(name) === number || bare(name) === "ALL") &&
    dropped(pair).some((name) => numberOf(name) === number || bare(name) === "ALL"),
  newer: (number, onlyDockline) => !onlyDockline && number > lastOfOldEngines,
};

/** True when each capability in which the sets differ has a reason, and one of them has this one. */
function explains(reason: Reason): (difference: Difference, pair: Pair) => boolean {
  return (difference, pair) => {
    const { what, dockline = "", containerd = "" } = difference;
    if (what.startsWith("mounts/")) return explainsWritable(reason)(difference, pair);
    if (dockline === "" || containerd === "") return false;
    const [ours, theirs] = [BigInt(`0x${dockline}`), BigInt(`0x${containerd}`)];
    const numbers = Array.from({ length: 64 }, (_, number) => number).filter(
      (number) => (((ours ^ theirs) >> BigInt(number)) & 1n) === 1n,
    );
    const has = (one: Reason) => (number: number) =>
      one(number, ((ours >> BigInt(number)) & 1n) === 1n, pair);
    const any = (number: number): boolean => Object.values(reasons).some((one) => has(one)(number));
    return numbers.every(any) && numbers.some(has(reason));
  };
}

const dacOverride = 1;
const withoutWritable = (text: string): string => text.replace(/,"writable":(?:true|false)/, "");

/** True when no more differs than what root may write to, and the reason holds for the capability that decides it. */
function explainsWritable(reason: Reason): (difference: Difference, pair: Pair) => boolean {
  return ({ dockline = "", containerd = "" }, pair) =>
    withoutWritable(dockline) === withoutWritable(containerd) &&
    reason(dacOverride, dockline.includes('"writable":true'), pair);
}

interface CapabilityPoint extends Pick<Accepted, "point" | "shownBy" | "onlyWhere"> {
  readonly explains: (difference: Difference, pair: Pair) => boolean;
}

export const capabilityPoints: readonly CapabilityPoint[] = [
  {
    point: "Names of capabilities with CAP_",
    shownBy: "security / capabilities",
    explains: explains(reasons.prefix),
  },
  {
    point: "Capabilities that are both added and dropped",
    shownBy: "security / capability added and dropped",
    explains: explains(reasons.both),
  },
  {
    point: "Capabilities that the engine does not know",
    shownBy: "security / all capabilities added",
    onlyWhere: ({ apiMinor }) => apiMinor < 42,
    explains: explains(reasons.newer),
  },
];
