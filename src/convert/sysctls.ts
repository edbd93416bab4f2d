import { invalidArgument } from "../errors.ts";
import { API, type EngineFacts } from "./engine-facts.ts";
import { emptyRecord, quoted, requireNoNul } from "./field-checks.ts";

const NAME = /^[A-Za-z0-9_-]+(?:[./][A-Za-z0-9_-]+)*$/;
/** Sysctls of the IPC namespace, exact or by prefix. */
const IPC_NAMES = [
  "kernel.msgmax",
  "kernel.msgmnb",
  "kernel.msgmni",
  "kernel.sem",
  "kernel.shmall",
  "kernel.shmmax",
  "kernel.shmmni",
  "kernel.shm_rmid_forced",
];
const IPC_PREFIX = "fs.mqueue.";
const NET_PREFIX = "net.";
const UTS_NAME = "kernel.domainname";
/** Of one network interface; those that every namespace has from the start are none. */
const INTERFACE = /^net\.[^.]+\.(?:conf|neigh)\.(?!(?:all|default|lo)\.)[^.]+\./;

export interface SysctlScope {
  readonly hostNetwork: boolean;
  readonly hostIpc: boolean;
}

/**
 * Sysctls of a pod for its pause container, checked: only those of a namespace that the pod owns, since any other is the
 * node's. Without those of one interface, which CNI makes later (interfaceSysctls). Values are written as
 * they are: the kernel judges them, and prints some with tabs and a newline itself. Engines up to 25.0 disable IPv6 in a fresh network namespace, which a CNI plugin's IPv6
 * address would not survive; there it is enabled again, unless the pod says otherwise.
 */
export function toSysctls(
  requested: Readonly<Record<string, string>>,
  scope: SysctlScope,
  facts: Pick<EngineFacts, "apiMinor" | "ipv6">,
): Record<string, string> {
  const sysctls = emptyRecord();
  if (!scope.hostNetwork && facts.ipv6 !== false && facts.apiMinor <= API.lastWithoutIpv6) {
    for (const device of ["all", "default", "lo"]) {
      sysctls[`net.ipv6.conf.${device}.disable_ipv6`] = "0";
    }
  }
  for (const key of Object.keys(requested)) {
    const name = checkSysctl(key, requested[key] ?? "", scope);
    if (!INTERFACE.test(name)) sysctls[name] = requested[key] ?? "";
  }
  return sysctls;
}

/**
 * A sysctl of a namespace that the pod owns.
 *
 * @returns its name with dots
 * @throws InvalidArgument for any other, and for a value that holds a NUL
 */
export function checkSysctl(key: string, value: string, scope: SysctlScope): string {
  const name = normalize(key);
  const field = `sysctls[${quoted(key)}]`;
  if (name.startsWith(NET_PREFIX)) {
    if (scope.hostNetwork) throw invalidArgument(`${field}: not with the host's network`);
  } else if (IPC_NAMES.includes(name) || name.startsWith(IPC_PREFIX)) {
    if (scope.hostIpc) throw invalidArgument(`${field}: not with the host's IPC`);
  } else if (name === UTS_NAME) {
    if (scope.hostNetwork) throw invalidArgument(`${field}: not with the host's network`);
  } else {
    throw invalidArgument(`${field}: not of a namespace of the pod`);
  }
  requireNoNul(field, value);
  return name;
}

/** Of what toSysctls takes, the sysctls of the network that Docker writes when the pause container starts. */
export function networkSysctls(requested: Readonly<Record<string, string>>): Sysctl[] {
  return sysctlFiles(requested, (name) => name.startsWith(NET_PREFIX) && !INTERFACE.test(name));
}

/** Of what toSysctls takes, the sysctls of one interface. */
export function interfaceSysctls(requested: Readonly<Record<string, string>>): Sysctl[] {
  return sysctlFiles(requested, (name) => INTERFACE.test(name));
}

/** Files below /proc/sys and their values. */
export interface Sysctl {
  readonly file: string;
  readonly value: string;
}

function sysctlFiles(
  requested: Readonly<Record<string, string>>,
  isWanted: (name: string) => boolean,
): Sysctl[] {
  return Object.keys(requested).flatMap((key) => {
    const name = normalize(key);
    if (!isWanted(name)) return [];
    const file = name.replaceAll(/[./]/g, (separator) => (separator === "." ? "/" : "."));
    return [{ file, value: requested[key] ?? "" }];
  });
}

/** sysctl(8) takes "net/ipv4/x" for "net.ipv4.x": whichever separator comes first decides. */
function normalize(key: string): string {
  if (key.length > 512 || !NAME.test(key)) {
    throw invalidArgument(`sysctls[${quoted(key)}]: not a sysctl name`);
  }
  const slash = key.indexOf("/");
  const dot = key.indexOf(".");
  if (slash < 0 || (dot >= 0 && dot < slash)) return key;
  return key.replaceAll(/[./]/g, (separator) => (separator === "." ? "/" : "."));
}
