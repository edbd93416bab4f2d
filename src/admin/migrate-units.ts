import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../sys/fs.ts";
import { findProcesses, ownProcesses } from "./migrate-node.ts";
import type { FoundProcess } from "./migrate-node.ts";
import type { Finding, Step } from "./report.ts";
import { runSystemctl } from "./systemd-units.ts";
import type { Units } from "./systemd-units.ts";

export const criDockerdUnits = ["cri-docker.socket", "cri-docker.service"];
export const docklineUnits = ["dockline.socket", "dockline.service"];
const criDockerdService = "cri-docker.service";
const docklineService = "dockline.service";
const kubelet = "kubelet.service";

/** All units that a switch between cri-dockerd and Dockline is about. */
export const switchUnits = [...criDockerdUnits, ...docklineUnits, kubelet];

/** A cri-dockerd of this node, and whether systemd has it as cri-docker.service. */
export interface RunningCriDockerd extends FoundProcess {
  isService: boolean;
}

/** Those in containers (a cluster within a pod) are not this node's: they have other pids there. */
export function findCriDockerd(procDir = "/proc"): RunningCriDockerd[] {
  return ownProcesses(findProcesses("cri-dockerd", procDir), procDir).flatMap((found) => {
    try {
      const cgroups = readFileSync(join(procDir, String(found.pid), "cgroup"), "utf8");
      return [{ ...found, isService: /\/cri-docker\.service(?:\/|$)/m.test(cgroups) }];
    } catch (error) {
      if (isErrno(error, "ENOENT", "ESRCH")) return [];
      if (isErrno(error, "EACCES")) return [{ ...found, isService: false }];
      throw error;
    }
  });
}

const isThere = (units: Units, name: string): boolean =>
  (units.get(name)?.load ?? "not-found") !== "not-found";
const activeOf = (units: Units, name: string): string => units.get(name)?.active ?? "inactive";
const rests = (units: Units, name: string): boolean =>
  ["inactive", "failed"].includes(activeOf(units, name));

/** What of the units keeps a switch from being done, or is the operator's to do. */
export function unitFindings(
  units: Units | undefined,
  direction: "from" | "back" | "undo",
): Finding[] {
  if (units === undefined || direction === "undo") return [];
  const findings: Finding[] = [];
  const [needed, ended, lack] =
    direction === "from"
      ? [docklineService, criDockerdUnits, "install Dockline's package, or its two units"]
      : [criDockerdService, docklineUnits, "there is nothing to go back to"];
  if (!isThere(units, needed)) {
    findings.push({ level: "bad", text: `systemd has no ${needed}: ${lack}` });
  }
  for (const name of direction === "from" ? docklineUnits : criDockerdUnits) {
    if (units.get(name)?.load === "masked") {
      findings.push({ level: "bad", text: `${name} is masked: systemctl unmask ${name}` });
    }
  }
  if (!isThere(units, kubelet)) {
    findings.push({
      level: "warn",
      text: `systemd has no ${kubelet}: stopping and starting the kubelet is left to you`,
    });
  }
  const pulled = units.get(kubelet)?.pulls.filter((name) => ended.includes(name)) ?? [];
  if (pulled.length > 0) {
    findings.push({
      level: "warn",
      text: `${kubelet} starts ${pulled.join(" and ")} with it (Wants or Requires): take that out of the unit`,
    });
  }
  return findings;
}

/** What runs of cri-dockerd, and whether that is as it has to be. */
export function criDockerdFinding(
  running: readonly RunningCriDockerd[],
  now: {
    direction: "from" | "back" | "undo";
    units: Units | undefined;
    /** A hand-back has been written: cri-dockerd may have been started since. */
    handedBack: boolean;
  },
): Finding {
  if (running.length === 0) return { level: "ok", text: "cri-dockerd is not running" };
  const text = `cri-dockerd is running (pid ${running.map(({ pid }) => pid).join(", ")})`;
  const apart = now.units !== undefined && running.some(({ isService }) => !isService);
  if (now.direction === "from" && apart) {
    return { level: "bad", text: `${text}, but not as ${criDockerdService}: end it yourself` };
  }
  const goingOn = now.direction === "back" && now.handedBack && now.units !== undefined && !apart;
  return { level: now.direction === "from" || goingOn ? "ok" : "bad", text };
}

/** Done by us where systemd runs and has units for it, else commands for the operator. */
export function endUnits(title: string, names: readonly string[], units: Units | undefined): Step {
  const there = units === undefined ? names : names.filter((name) => isThere(units, name));
  if (units === undefined) return { title, commands: [command("disable", there)] };
  if (there.length === 0) return { title: `${title}: systemd has no unit of it` };
  const ended = there.every(
    (name) => rests(units, name) && !(units.get(name)?.file ?? "").startsWith("enabled"),
  );
  if (ended) return { title: `${title}: done already` };
  return systemctl(title, ["disable", "--now", ...there]);
}

/** The same for units that are to run, now and after the next boot. */
export function beginUnits(
  title: string,
  names: readonly string[],
  units: Units | undefined,
): Step {
  const there = units === undefined ? names : names.filter((name) => isThere(units, name));
  if (units === undefined) return { title, commands: [command("enable", there)] };
  const begun = there.every(
    (name) => activeOf(units, name) === "active" && units.get(name)?.file !== "disabled",
  );
  if (begun) return { title: `${title}: done already` };
  return systemctl(title, ...forgiven(there, units), ["enable", "--now", ...there]);
}

/** A unit whose starts failed too often is refused another one until that is forgotten. */
const forgiven = (names: readonly string[], units: Units): string[][] => {
  const failing = names.filter((name) => ["failed", "activating"].includes(activeOf(units, name)));
  return failing.length === 0 ? [] : [["reset-failed", ...failing]];
};

/** The steps between the kubelet's end and its start; where they change nothing it runs on. */
export function whileKubeletRests(steps: readonly Step[], units: Units | undefined): Step[] {
  const stop = "stop the kubelet";
  const start = "start the kubelet";
  const byHand = (title: string, verb: string): Step => ({
    title,
    commands: [`systemctl ${verb} ${kubelet}`],
  });
  if (units === undefined) return [byHand(stop, "stop"), ...steps, byHand(start, "start")];
  if (!isThere(units, kubelet)) {
    return [{ title: `${stop} yourself` }, ...steps, { title: `${start} yourself` }];
  }
  if (steps.some(({ apply }) => apply !== undefined)) {
    return [
      rests(units, kubelet)
        ? { title: `${stop}: done already` }
        : systemctl(stop, ["stop", kubelet]),
      ...steps,
      systemctl(start, ...forgiven([kubelet], units), ["start", kubelet]),
    ];
  }
  return activeOf(units, kubelet) === "active"
    ? [...steps, { title: `${start}: done already` }]
    : [...steps, systemctl(start, ...forgiven([kubelet], units), ["start", kubelet])];
}

/** A cri-dockerd that outlived its unit would serve the kubelet beside Dockline. */
export async function criDockerdHasEnded(): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += 100) {
    const left = findCriDockerd();
    if (left.length === 0) return;
    if (waitedMs >= 10_000) {
      throw new Error(`cri-dockerd still runs (pid ${left.map(({ pid }) => pid).join(", ")})`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const command = (verb: "enable" | "disable", names: readonly string[]): string =>
  `systemctl ${verb} --now ${names.join(" ")}`;

function systemctl(title: string, ...commands: string[][]): Step {
  return {
    title,
    commands: commands.map((args) => `systemctl ${args.join(" ")}`),
    apply: async () => {
      for (const args of commands) {
        const run = runSystemctl(args);
        // What systemd has let go of since it was looked at has nothing to be forgiven.
        await (args[0] === "reset-failed" ? run.catch(() => undefined) : run);
      }
      return "ok";
    },
  };
}
