import { mkdirSync, readFileSync, readdirSync } from "node:fs";

/**
 * A shell line that notes each TERM in a file of its own in /marks and goes on, so that only the end
 * of its grace period ends it.
 */
export const markTerm = (name: string): string =>
  `trap 'read u _ </proc/uptime; echo $u >/marks/${name}' TERM; touch /marks/up-${name}; while :; do sleep 1000 & wait; done`;

/** The folder that is mounted at /marks. */
export class TermMarks {
  readonly folder: string;
  constructor(folder: string) {
    mkdirSync(folder, { recursive: true });
    this.folder = folder;
  }

  /** How many have set their trap. */
  get up(): number {
    return readdirSync(this.folder).filter((name) => name.startsWith("up-")).length;
  }

  /** Seconds since boot at which each got its TERM. */
  get terms(): number[] {
    return readdirSync(this.folder)
      .filter((name) => !name.startsWith("up-"))
      .map((name) => Number(readFileSync(`${this.folder}/${name}`, "utf8")));
  }
}

/** Seconds since boot, on the clock of the marks. */
export const uptimeSeconds = (): number =>
  Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
