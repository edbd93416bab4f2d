import type { NodeFacts } from "./facts.ts";
import { error, ok, warning } from "./finding.ts";
import type { Finding } from "./finding.ts";

interface Surprise {
  key: string;
  /** Whether the value is one that surprises. */
  when: (value: unknown) => boolean;
  why: string;
  restart: boolean;
}

const given = (value: unknown): boolean =>
  value !== "" && value !== false && value !== undefined && value !== null;
const filled = (value: unknown): boolean =>
  typeof value === "object" && value !== null && Object.keys(value).length > 0;

const surprises: readonly Surprise[] = [
  {
    key: "userns-remap",
    when: given,
    why:
      "Dockline runs pods with the node's users all the same, since volumes would change their " +
      "owners; pods with hostUsers: false are refused",
    restart: true,
  },
  {
    key: "default-ulimits",
    when: filled,
    why: "every container of every pod gets these limits, and no pod can ask for others",
    restart: true,
  },
  {
    key: "init",
    when: given,
    why:
      "Dockline turns it off for pods: pid 1 is the container's own program there, as on every " +
      "other runtime. Plain docker containers keep it",
    restart: true,
  },
  {
    key: "no-new-privileges",
    when: given,
    why: "programs with setuid or file capabilities (ping, sudo) fail in all pods",
    restart: true,
  },
  {
    key: "seccomp-profile",
    when: given,
    why: "the RuntimeDefault profile of pods is this one and not Docker's own",
    restart: true,
  },
  {
    key: "authorization-plugins",
    when: filled,
    why: "each request of Dockline waits for them, and what they refuse fails as an engine error",
    restart: true,
  },
  {
    key: "default-runtime",
    when: (value) => given(value) && value !== "runc" && value !== "io.containerd.runc.v2",
    why: "pods without a RuntimeClass run under it",
    restart: false,
  },
];

/** What `docker info` does not show, or shows where nobody looks. */
export function checkDaemonSettings({ daemon, engine }: NodeFacts): Finding[] {
  const check = "daemon-json";
  if (daemon.trouble !== undefined) {
    return [
      error(
        check,
        `${daemon.path}: ${daemon.trouble}`,
        "Docker runs with what it read before, and does not come up after its next restart",
        `python3 -m json.tool ${daemon.path}   # names the line`,
      ),
    ];
  }
  const findings = surprises
    .filter(({ key, when }) => when(daemon.settings[key]))
    .map(({ key, why, restart }) =>
      warning(
        check,
        `${key} is set: ${shortened(JSON.stringify(daemon.settings[key]))}`,
        why,
        `in ${daemon.path}: take "${key}" out`,
        `systemctl ${restart ? "restart" : "reload"} docker`,
      ),
    );
  const remaps = (engine?.info.SecurityOptions ?? []).some((line) => line.includes("name=userns"));
  if (remaps && !given(daemon.settings["userns-remap"])) {
    const known = surprises.find(({ key }) => key === "userns-remap");
    findings.push(
      warning(
        check,
        "userns-remap is on (dockerd's command line)",
        known?.why ?? "",
        "in docker.service: take --userns-remap out",
        "systemctl daemon-reload && systemctl restart docker",
      ),
    );
  }
  return findings.length > 0 ? findings : [ok(check, `nothing in ${daemon.path} surprises pods`)];
}

const shortened = (text: string): string => (text.length > 60 ? `${text.slice(0, 57)}...` : text);
