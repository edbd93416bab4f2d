import { existsSync } from "node:fs";
import { runProcess } from "../sys/process.ts";

/** What systemd says of one unit. */
export interface UnitState {
  /** LoadState: "loaded", "not-found", "masked", … */
  load: string;
  /** ActiveState: "active", "inactive", "failed", "activating", … */
  active: string;
  /** UnitFileState: "enabled", "disabled", "static", …; "" without a file. */
  file: string;
  /** The words of its first command line; those with spaces in them cannot be told apart. */
  command: string[];
  /** Units that its start starts as well. */
  pulls: string[];
  /** A file of it was changed since systemd has read it. */
  needsReload?: true;
}

/** States by name; a unit that systemd does not know is "not-found". */
export type Units = ReadonlyMap<string, UnitState>;

const properties = [
  ...["LoadState", "ActiveState", "UnitFileState", "ExecStart", "Requires", "Wants"],
  "NeedDaemonReload",
];

/** A unit's own time to start or stop decides, not ours: this is longer than any of theirs. */
const jobTimeoutMs = 300_000;

/** Undefined where systemd is not the init, which the presence of "systemctl" does not tell. */
export async function lookAtUnits(names: readonly string[]): Promise<Units | undefined> {
  if (!existsSync("/run/systemd/system")) return undefined;
  const args = ["show", ...properties.map((property) => `--property=${property}`), ...names];
  const { exitCode, stdout, stderr } = await runProcess("systemctl", args, { timeoutMs: 30_000 });
  if (exitCode !== 0) throw new Error(`systemctl show: ${stderr.trim()}`);
  return parseUnits(names, stdout);
}

/** The answer of `systemctl show`: a block for each unit, in the order that they were asked for. */
export function parseUnits(names: readonly string[], text: string): Units {
  const blocks = text.trim().split("\n\n");
  if (blocks.length !== names.length) {
    throw new Error(`systemctl show: ${blocks.length} answers for ${names.length} units`);
  }
  return new Map(
    names.map((name, at) => {
      const lines = (blocks[at] ?? "").split("\n");
      const value = (property: string): string =>
        lines.find((line) => line.startsWith(`${property}=`))?.slice(property.length + 1) ?? "";
      const command = /argv\[\]=(.*?) ; /.exec(value("ExecStart"))?.[1] ?? "";
      return [
        name,
        {
          load: value("LoadState"),
          active: value("ActiveState"),
          file: value("UnitFileState"),
          command: words(command),
          pulls: [...words(value("Requires")), ...words(value("Wants"))],
          ...(value("NeedDaemonReload") === "yes" ? { needsReload: true as const } : {}),
        },
      ];
    }),
  );
}

const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== "");

/** Runs systemctl. Throws with what it said, and with the last words of services that did not start. */
export async function runSystemctl(args: readonly string[]): Promise<void> {
  const beganS = Math.floor(Date.now() / 1000);
  // Of the links that it makes and removes nobody has to read.
  const quiet = ["--quiet", ...args];
  const { exitCode, stderr } = await runProcess("systemctl", quiet, { timeoutMs: jobTimeoutMs });
  if (exitCode === 0) return;
  const starts = ["enable", "start"].includes(args[0] ?? "");
  const services = starts ? args.filter((word) => word.endsWith(".service")) : [];
  throw new Error(
    [`systemctl ${args.join(" ")}: ${stderr.trim()}`, ...(await lastWords(services, beganS))].join(
      "\n",
    ),
  );
}

/** The newest lines that the services themselves have written since. */
async function lastWords(services: readonly string[], sinceS: number): Promise<string[]> {
  const lines: string[] = [];
  for (const service of services) {
    const args = ["--no-pager", "--quiet", "--output=cat", "--lines=2", `--since=@${sinceS}`];
    const match = `_SYSTEMD_UNIT=${service}`;
    try {
      const { stdout } = await runProcess("journalctl", [...args, match], { timeoutMs: 30_000 });
      const said = stdout.split("\n").filter((line) => line !== "");
      if (said.length > 0) lines.push(`${service} wrote: ${said.join(" | ")}`);
    } catch {
      // No journal: systemctl's own words have to do.
    }
  }
  return lines;
}
