/*
 * src/cli: commands that speak CRI as any client does (play, release, version), the trace, and the
 * list of all commands.
 * Not here: Docker, CNI and files of the daemon: what is not in the CRI or the trace is not known
 * here.
 */
import { version } from "../version.ts";

export interface Command {
  name: string;
  /** What stands behind the name in the list of commands. */
  argument?: string;
  /** In a few words, for the list, the manual and the shells. */
  summary: string;
}

/** Every command of `dockline`: the help, the manual pages and the shells' completions are made from it. */
export const commands: readonly Command[] = [
  { name: "serve", summary: "serve the CRI to the kubelet" },
  {
    name: "play",
    argument: "FILE",
    summary: "run the pods of a Kubernetes manifest through the CRI",
  },
  {
    name: "doctor",
    summary: "report what is wrong with this node, and how to fix it",
  },
  { name: "trace", summary: "show what each CRI call becomes, live or recorded" },
  {
    name: "release",
    argument: "POD",
    summary: "give up what a pod's network plugin cannot undo",
  },
  { name: "migrate", summary: "migrate from cri-dockerd or dockershim, or back" },
  { name: "install-runtime", summary: "register dockline-oci with Docker" },
  { name: "config", summary: "check and print the configuration in force" },
  { name: "version", summary: "print versions, the server's too if it runs" },
  { name: "help", argument: "[COMMAND]", summary: "print this, or the help of a command" },
];

/** `dockline --help`. */
export function mainHelp(): string {
  const entries = commands.map(({ name, argument, summary }) => ({
    left: argument === undefined ? name : `${name} ${argument}`,
    summary,
  }));
  const width = Math.max(...entries.map(({ left }) => left.length));
  return `dockline ${version}: a CRI runtime for Kubernetes nodes that run Docker Engine

usage: dockline COMMAND [options]
       dockline [options of serve]

${entries.map(({ left, summary }) => `  ${left.padEnd(width)}  ${summary}`).join("\n")}

"dockline COMMAND --help" has the options of one; -v, --version prints the
version. Exit code 2: the command line or the configuration is wrong (3 for the
doctor).
`;
}
