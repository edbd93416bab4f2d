/** Why a command could not be run at all, in the words and with the exit code of a shell. */
export interface CommandFault {
  /** 127: the program, its interpreter or the working directory is not there. 126: it cannot be run. */
  exitCode: 126 | 127;
  /** One line, with its newline. */
  reason: string;
}

/**
 * What runc (1.0: "starting container process caused"), crun and runsc say when the fault is the
 * command's. Their other sentences (cgroups, namespaces, memory, a container that is just ending, no
 * connection to containerd) are trouble of the node, whatever errno stands in them.
 */
const commandsFault = [
  /(?:unable to start container process|starting container process caused)[:"\s]+(?:.*: )?(?:exec: |exec \/|chdir to cwd )/,
  /executable file `[^`]*` not found|open executable|cannot (?:find|open) executable|\bexec(?:ve?)?(?: of| file| container process)? ?`/i,
  /\bchdir(?: to)?(?: `|:)|cannot chdir to/i,
  /executable file not found in \$PATH|(?:finding|resolving|searching for) executable/i,
];
/**
 * The same words about something else: the shim did not find the OCI runtime itself (it is being
 * upgraded), or the node had no memory, process or descriptor for the command.
 */
const nodesFault =
  /unable to retrieve OCI runtime error \(.*?\): (?:fork\/)?exec\b|\bfork\/exec |cannot allocate memory|resource temporarily unavailable|too many open files/i;
const notThere = /not found|no such file or directory/i;

/** Of what Docker says in place of a started exec; undefined where the fault is not the command's. */
export function commandFault(text: string): CommandFault | undefined {
  if (nodesFault.test(text) || !commandsFault.some((words) => words.test(text))) return undefined;
  return { exitCode: notThere.test(text) ? 127 : 126, reason: `${text.trimEnd()}\n` };
}

/**
 * Of a command that runc began and could not become, for lack of its interpreter or a known format:
 * runc then writes one line to stderr and ends with its own code, 1 or 255 by its version. Nothing but
 * that line, with the command's own name, counts as it.
 */
export function interpreterFault(
  command: string,
  ended: { exitCode: number; stdout: Uint8Array; stderr: Uint8Array },
): CommandFault | undefined {
  const { exitCode, stdout, stderr } = ended;
  if ((exitCode !== 1 && exitCode !== 255) || stdout.length > 0 || stderr.length > 8192) {
    return undefined;
  }
  const reason = Buffer.from(stderr).toString("utf8");
  const [, program = "", errno = ""] = /^exec (\/[^\n]*): ([a-z ]+)\n$/.exec(reason) ?? [];
  const isCommand = program === command || program.endsWith(`/${command.split("/").at(-1) ?? ""}`);
  if (program === "" || !isCommand) return undefined;
  return { exitCode: notThere.test(errno) ? 127 : 126, reason };
}
