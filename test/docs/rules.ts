import { existsSync, readFileSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Command } from "./extract.ts";
import { root } from "./extract.ts";
import { foreign, foreignTrouble } from "./foreign.ts";

/** Why a command of a page is not run: its program, verb and flags are looked up instead. */
export const reasons = {
  cluster: "needs a cluster",
  kubelet: "needs a kubelet: npm run test:kubelet has one",
  crictl: "a client of others, which this machine may lack: npm run test:interop makes its calls",
  init: "needs systemd as init",
  packages: "changes this machine's packages",
  lane: "a lane or a script of its own",
  placeholder: "has a word that the operator fills in",
  server: "the node of the pages serves by this line, or it would never end",
  output: "is output, no command",
} as const;
export type Reason = keyof typeof reasons;

export interface Run {
  how: "run";
  /** What is run in its place; `--help` of what is only mentioned. */
  script: string;
  exits: readonly number[];
  /** Done before and after, in the same node. */
  before?: string;
  after?: string;
  withoutServer?: boolean;
}
export interface Checked {
  how: "checked";
  reason: Reason;
  /** What about it is wrong. */
  trouble: string | undefined;
  /** The `--help` that has to name these flags. */
  help?: { command: string; flags: string[] };
}

/** Words of the pages that stand for something, and what the node of the pages has for it. */
const standIns: Readonly<Record<string, string>> = {
  "POD.yaml": "test/docs/pod.yaml",
  "pod.yaml": "test/docs/pod.yaml",
};

const programs: Readonly<Record<string, Reason>> = {
  ...Object.fromEntries(Object.keys(foreign).map((name) => [name, "placeholder" as const])),
  ...{ kubectl: "cluster", kubeadm: "cluster", helm: "cluster", kubelet: "kubelet" },
  ...{ crictl: "crictl", systemctl: "init", journalctl: "init", reboot: "init" },
  ...{ apt: "packages", "apt-get": "packages", dpkg: "packages", npm: "lane", npx: "lane" },
  ...{ dnf: "packages", zypper: "packages" },
  node: "lane",
};
/** Harmless on the node of the pages, whose folders are its own. */
const runnable = new Set(
  "dockline docker curl install cp cat tee mkdir ls grep sed echo chmod ln iptables ip6tables cd export kill mv head".split(
    " ",
  ),
);
const repositoryPath = /^(?:\.\/)?(?:test|scripts|\.ci|deploy|bin)\/\S/;

/** First words that make a line, or a span in backticks, a command. */
export function isProgram(word: string): boolean {
  return (
    Object.hasOwn(programs, word) ||
    runnable.has(word) ||
    word === "sudo" ||
    repositoryPath.test(word)
  );
}

/** Undefined: neither run nor known, so the page needs a mark. */
export function decide(command: Command): Run | Checked | undefined {
  const text = command.text
    .replace(/^sudo /, "")
    .replace(/^(?:\.\/)?bin\/dockline(?= |$)/, "dockline");
  const words = text.split(/\s+/);
  const [program = ""] = words;
  if (command.mark === "run") return run(text);
  if (command.mark !== undefined) {
    if (!Object.hasOwn(reasons, command.mark)) return undefined;
    const looked = Object.hasOwn(programs, program) ? checkedForeign(text, words) : undefined;
    return { how: "checked", reason: command.mark as Reason, trouble: looked?.trouble };
  }
  if (repositoryPath.test(program)) return checkedPath(program);
  if (/^KUBELET_\w+=/.test(program)) {
    const flags = text.replace(/^\w+=/, "").replaceAll(/["']/g, "");
    return checkedForeign(`kubelet ${flags}`, ["kubelet", ...flags.split(/\s+/)]);
  }
  if (Object.hasOwn(programs, program) && program !== "curl") return checkedForeign(text, words);
  if (!runnable.has(program)) return undefined;
  if (program === "dockline") return decideDockline(text, words);
  const mentioned = command.form === "inline" && words.length <= 2;
  if (program === "docker" && mentioned && words[1] !== "ps") return run(`${text} --help`);
  if (program === "kill" && mentioned) return run(`kill -l ${(words[1] ?? "").slice(1)}`);
  // A folder that the page asks about may not be there.
  if (program === "ls") return run(text, { exits: [0, 2] });
  if (mentioned && ["chmod", "iptables", "ip6tables", "cat"].includes(program)) {
    return run(`command -v ${program}`);
  }
  if (hasPlaceholder(text)) return { how: "checked", reason: "placeholder", trouble: undefined };
  return run(text);
}

const run = (script: string, more: Partial<Run> = {}): Run => ({
  how: "run",
  script,
  exits: [0],
  ...more,
});

function decideDockline(text: string, words: readonly string[]): Run | Checked {
  const verb = words[1]?.startsWith("-") === false ? words[1] : "serve";
  const asked = words.includes("--help");
  if (asked) return run(text);
  const filled = words.map((word) => standIns[word] ?? word).join(" ");
  const flags = words.flatMap((word) =>
    word.startsWith("--") ? [word.split("=", 1)[0] ?? ""] : [],
  );
  const checked = (reason: Reason): Checked => ({
    how: "checked",
    reason,
    trouble: undefined,
    help: { command: `dockline ${verb} --help`, flags },
  });
  if (verb === "serve") return checked("server");
  if (verb === "migrate" && words.length === 2) return run("dockline migrate --help");
  if (hasPlaceholder(filled)) return checked("placeholder");
  switch (verb) {
    case "play":
      if (words.length === 2) return run("dockline play --help");
      // The example's pod is there from the start, and stays for the pages that talk to it.
      if (filled.includes("examples/web.yaml")) {
        const play = "dockline play deploy/examples/web.yaml";
        const isDown = filled.includes(" --down");
        return run(filled, isDown ? { after: `${play} --detach` } : { before: `${play} --down` });
      }
      return run(filled, {
        after: filled.includes("--down")
          ? ""
          : `${filled.replace(/ --(?:detach|replace)/g, "")} --down`,
      });
    case "install-runtime":
      return run(
        text,
        words.includes("--undo")
          ? { before: "dockline install-runtime" }
          : { after: "dockline install-runtime --undo" },
      );
    case "doctor":
      return run(text, { exits: [0, 1, 2] });
    case "trace":
      return words.includes("--replay")
        ? checked("placeholder")
        : run(`timeout -s INT 1.5 ${filled}`, { exits: [0, 124, 130] });
    case "migrate":
      if (!words.includes("--back")) return run(text);
      return run(text, {
        withoutServer: true,
        ...(words.includes("--undo")
          ? { before: "dockline migrate --back --apply" }
          : { after: "dockline migrate --back --undo --apply" }),
      });
    default:
      return run(text);
  }
}

function checkedPath(program: string): Checked {
  const path = program.replace(/^\.\//, "").replace(/[:,]$/, "");
  const trouble = isThere(path) ? undefined : `${path} is not there`;
  return { how: "checked", reason: "lane", trouble };
}

/** A name may have a `*` in its last part; what is behind a brace or an ellipsis is not looked at. */
function isThere(path: string): boolean {
  const star = path.indexOf("*");
  const known = path.replace(/[{…].*$/, "");
  if (star < 0 || path.slice(star).includes("/") || known !== path) {
    return existsSync(join(root, known.replace(/\*.*$/, "")));
  }
  const folder = join(root, dirname(path));
  const [before = "", after = ""] = basename(path).split("*");
  return (
    existsSync(folder) &&
    readdirSync(folder).some((name) => name.startsWith(before) && name.endsWith(after))
  );
}

function checkedForeign(text: string, words: readonly string[]): Checked {
  const [program = "", ...rest] = words;
  const reason = programs[program] ?? "placeholder";
  if (program === "npm" || program === "npx") {
    return { how: "checked", reason, trouble: npmTrouble(rest) };
  }
  if (program === "node") {
    const file = rest.find((word) => !word.startsWith("-")) ?? "";
    const there = existsSync(join(root, file));
    return { how: "checked", reason, trouble: there ? undefined : `${file} is not there` };
  }
  const parts = text.split(/\s*(?:&&|\|\||[;|])\s*/).map((part) => part.replace(/^sudo /, ""));
  const troubles = parts.flatMap((part) => {
    const own = part.split(/\s+/);
    if (!Object.hasOwn(foreign, own[0] ?? "")) return [];
    return foreignTrouble(own) ?? unitTrouble(own) ?? [];
  });
  return { how: "checked", reason, trouble: troubles[0] };
}

/** Units of ours are in deploy/systemd. */
function unitTrouble(words: readonly string[]): string | undefined {
  const unit = words.find((word) => /^dockline.*\.(?:service|socket)$/.test(word));
  if (unit === undefined || existsSync(join(root, "deploy", "systemd", unit))) return undefined;
  return `there is no unit ${unit}`;
}

function npmTrouble([verb = "", name = ""]: readonly string[]): string | undefined {
  if (["ci", "install", "test"].includes(verb)) return undefined;
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  if (verb !== "run") return `npm ${verb} is not known`;
  return Object.hasOwn(scripts, name) ? undefined : `package.json has no script ${name}`;
}

/** "…", "<pod>" and words of capitals. */
function hasPlaceholder(text: string): boolean {
  const outside = text.replaceAll(/'[^']*'|"[^"]*"/g, "");
  return /…|<[a-z][^>]*>|(?:^|[\s=/])[A-Z][A-Z_]+(?=$|[\s/.])/.test(outside);
}
