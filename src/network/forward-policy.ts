import type { Logger } from "../log.ts";
import { outsideCall } from "../sys/call-trace.ts";
import type { Clock } from "../sys/clock.ts";
import { SingleFlight } from "../sys/mutex.ts";
import { runProcess } from "../sys/process.ts";
import type { RunResult } from "../sys/process.ts";

/** `DROP` when packets from other hosts do not reach pods; `unknown` without a usable iptables. */
export type ForwardVerdict = "ACCEPT" | "DROP" | "unknown";

export interface ForwardPolicy {
  ipv4: ForwardVerdict;
  ipv6: ForwardVerdict;
  /** What is cut off and the remedy, for Status; "" when nothing is known to be. */
  message: string;
}

export interface ForwardPolicySource {
  /** Waits for iptables only the first time; later calls answer from a reading of the last minute. */
  current(): Promise<ForwardPolicy>;
}

const cacheMs = 60_000;
const timeoutMs = 6_000;

/** Chains of network plugins that let pods' traffic pass in both directions. */
const acceptingChains = new Set([
  "FLANNEL-FWD",
  "cali-FORWARD",
  "CILIUM_FORWARD",
  "KUBE-ROUTER-FORWARD",
  "ANTREA-FORWARD",
  "WEAVE-NPC",
]);

type RunIptables = (program: string, args: readonly string[]) => Promise<RunResult>;

/**
 * Watches the FORWARD chain: Docker sets its policy to DROP when it turns forwarding on, which cuts
 * CNI pods off from other hosts without a trace in any log.
 */
export function createForwardPolicySource(options: {
  clock: Clock;
  log: Logger;
  run?: RunIptables;
}): ForwardPolicySource {
  const { clock, log } = options;
  const run = options.run ?? runIptables;
  const flight = new SingleFlight<ForwardPolicy>();
  let last: { policy: ForwardPolicy; atMs: number } | undefined;

  const read = async (): Promise<ForwardPolicy> => {
    const ipv4 = await verdictOf("iptables", run, log);
    const ipv6 = await verdictOf("ip6tables", run, log);
    const policy = { ipv4, ipv6, message: messageFor(ipv4, ipv6) };
    last = { policy, atMs: clock.monotonicMs() };
    return policy;
  };

  return {
    current: async () => {
      if (last !== undefined && clock.monotonicMs() - last.atMs < cacheMs) return last.policy;
      const reading = flight.run("", () => outsideCall(read));
      if (last === undefined) return await reading;
      // `read` answers every failure with "unknown"; nothing is left to go unhandled.
      reading.catch(() => undefined);
      return last.policy;
    },
  };
}

async function verdictOf(program: string, run: RunIptables, log: Logger): Promise<ForwardVerdict> {
  try {
    const listing = await run(program, ["-w", "5", "-S", "FORWARD"]);
    if (listing.exitCode !== 0) return "unknown";
    const verdict = await judge(program, listing.stdout, run);
    // Both kernel interfaces can hold tables at once, and each can drop what the other lets pass.
    if (verdict === "ACCEPT" && listing.stderr.includes(`${program}-legacy tables present`)) {
      const legacy = await run(`${program}-legacy`, ["-w", "5", "-S", "FORWARD"]);
      if (legacy.exitCode === 0) return await judge(`${program}-legacy`, legacy.stdout, run);
    }
    return verdict;
  } catch (err) {
    log.debug({ err, program }, "the FORWARD policy cannot be read");
    return "unknown";
  }
}

async function judge(program: string, listing: string, run: RunIptables): Promise<ForwardVerdict> {
  const forward = parseChain(listing, "FORWARD");
  if (forward.policy === undefined) return "unknown";
  if (forward.policy === "ACCEPT") return "ACCEPT";
  const rules = [...forward.rules];
  if (rules.some(({ target, always }) => always && target === "DOCKER-USER")) {
    const user = await run(program, ["-w", "5", "-S", "DOCKER-USER"]);
    if (user.exitCode === 0) rules.push(...parseChain(user.stdout, "DOCKER-USER").rules);
  }
  return letPodsPass(rules) ? "ACCEPT" : "DROP";
}

interface Rule {
  target: string;
  /** Whether the rule applies to every packet, or only to those to, or from, a range or interface. */
  always: boolean;
  towards: boolean;
  from: boolean;
}

function letPodsPass(rules: readonly Rule[]): boolean {
  if (rules.some(({ target, always }) => always && acceptingChains.has(target))) return true;
  // The firewall plugin's CNI-FORWARD is not enough: it passes what pods begin and the answers to
  // it, not what other hosts begin.
  const accepts = rules.filter(({ target }) => target === "ACCEPT");
  return (
    accepts.some(({ always, towards }) => always || towards) &&
    accepts.some(({ always, from }) => always || from)
  );
}

/** Reads the output of `iptables -S <chain>`. */
export function parseChain(
  listing: string,
  chain: string,
): { policy: string | undefined; rules: Rule[] } {
  let policy: string | undefined;
  const rules: Rule[] = [];
  for (const line of listing.split("\n")) {
    const words = line.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? [];
    if (words[1] !== chain) continue;
    if (words[0] === "-P") policy = words[2];
    if (words[0] === "-A") rules.push(parseRule(words.slice(2)));
  }
  return { policy, rules };
}

function parseRule(words: readonly string[]): Rule {
  const rule = { target: "", always: true, towards: false, from: false };
  let other = false;
  for (let at = 0; at < words.length; at += 2) {
    const [flag = "", value = ""] = words.slice(at, at + 2);
    if (flag === "-j" || flag === "-g") rule.target = value;
    else if (flag === "--comment" || (flag === "-m" && value === "comment")) continue;
    else if (isDockerBridge(value)) other = true;
    else if (flag === "-d" || flag === "-o") rule.towards = true;
    else if (flag === "-s" || flag === "-i") rule.from = true;
    else other = true;
  }
  const both = rule.towards && rule.from;
  rule.always = !other && !rule.towards && !rule.from;
  if (other || both) rule.towards = rule.from = false;
  return rule;
}

/** Docker's rules for its own networks say nothing about pods. */
function isDockerBridge(name: string): boolean {
  return name === "docker0" || /^br-[0-9a-f]{12}$/.test(name);
}

function messageFor(ipv4: ForwardVerdict, ipv6: ForwardVerdict): string {
  const families = [...(ipv4 === "DROP" ? ["IPv4"] : []), ...(ipv6 === "DROP" ? ["IPv6"] : [])];
  if (families.length === 0) return "";
  const tools = [
    ...(ipv4 === "DROP" ? ["iptables"] : []),
    ...(ipv6 === "DROP" ? ["ip6tables"] : []),
  ];
  return (
    `the FORWARD chain drops ${families.join(" and ")} packets from other hosts to pods, as Docker ` +
    'sets it: put "ip-forward-no-drop": true into /etc/docker/daemon.json (Docker 28 or newer), then ' +
    `run ${tools.map((tool) => `"${tool} -P FORWARD ACCEPT"`).join(" and ")}`
  );
}

async function runIptables(program: string, args: readonly string[]): Promise<RunResult> {
  return await runProcess(program, args, { timeoutMs });
}
