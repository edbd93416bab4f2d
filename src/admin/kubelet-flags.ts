import { stat } from "node:fs/promises";
import { isErrno, readTextIfExists, writeFileAtomic } from "../sys/fs.ts";
import { flagOf, withDashes } from "./migrate-node.ts";
import { replaceText } from "./text-file.ts";

/** Flags that went with dockershim: a kubelet from 1.24 on does not start with them. */
const dockershimFlags = [
  "--container-runtime",
  "--docker-endpoint",
  "--image-pull-progress-deadline",
  "--network-plugin",
  "--network-plugin-mtu",
  "--cni-conf-dir",
  "--cni-bin-dir",
  "--cni-cache-dir",
  "--non-masquerade-cidr",
  "--experimental-dockershim-root-directory",
];

/** cAdvisor's flags, which the kubelet had by mistake; of these, `housekeeping_interval` stays. */
const cadvisorFlags = [
  "--containerd",
  "--containerd-namespace",
  "--application_metrics_count_limit",
  "--boot_id_file",
  "--container_hints",
  "--enable_load_reader",
  "--event_storage_age_limit",
  "--event_storage_event_limit",
  "--global_housekeeping_interval",
  "--log_cadvisor_usage",
  "--machine_id_file",
  "--storage_driver_buffer_duration",
  "--storage_driver_db",
  "--storage_driver_host",
  "--storage_driver_password",
  "--storage_driver_secure",
  "--storage_driver_table",
  "--storage_driver_user",
];

/** A flag that the kubelet has lost, with the minor of the first version 1.x without it. */
export interface LostFlag {
  flag: string;
  since: number;
}

/** What `--container-runtime` said of every runtime but dockershim; it went later than dockershim did. */
const remote = "remote";

const lostFlags: readonly LostFlag[] = [
  { flag: "--container-runtime", since: 27 },
  { flag: "--pod-infra-container-image", since: 35 },
  ...cadvisorFlags.map((flag) => ({ flag, since: 37 })),
];

export interface FlagsEdit {
  before: string;
  after: string;
  /** Flags that were taken out. */
  removed: string[];
}

/** The kubelet takes a flag with dashes and with underscores. */
const anyForm = (flag: string): string => `--${flag.slice(2).replaceAll(/[-_]/g, "[-_]")}`;

/** The whole flag, not one that begins like it; its value with "=" or as the next word. */
const patternOf = (flag: string): RegExp =>
  new RegExp(
    `(?<=["'\\s=]|^)${anyForm(flag)}(?=[=\\s"']|$)(?:=[^\\s"']*|\\s+(?!-)[^\\s"']+)?[ \\t]?`,
    "gm",
  );

/** Before 1.24 a kubelet without `--container-runtime=remote` has dockershim. */
const patternOfDockershim = (flag: string): RegExp =>
  flag === "--container-runtime"
    ? new RegExp(`(?!\\S+[=\\s]["']?${remote}(?=["'\\s]|$))${patternOf(flag).source}`, "gm")
    : patternOf(flag);

/** A line that is no comment and names an endpoint. */
const endpointLine = /^(?!\s*[#;]).*--container[-_]runtime[-_]endpoint(?=[=\s"']|$)/m;

/** A line that is no comment. */
const lineInUse = /^(?!\s*[#;]).*$/gm;

export const namesEndpoint = (text: string): boolean => endpointLine.test(text);

/**
 * A kubelet flags file (kubeadm's kubeadm-flags.env), unit file or configuration file with its
 * endpoint replaced by ours, and dockershim's flags taken out. The rest stays byte for byte.
 */
export function replaceFlags(before: string, endpoint: string): FlagsEdit {
  const removed = new Set<string>();
  const after = before
    .replaceAll(lineInUse, (line) => {
      // A quote may be around the value; a backslash at the end of the line is no value.
      let edited = line.replaceAll(
        /(--container[-_]runtime[-_]endpoint[= \t]+["']?)[^\s"'\\]+/g,
        `$1${endpoint}`,
      );
      for (const flag of dockershimFlags) {
        edited = edited.replaceAll(patternOfDockershim(flag), () => {
          removed.add(flag);
          return "";
        });
      }
      return edited;
    })
    .replaceAll(/^(containerRuntimeEndpoint:\s*)\S+/gm, `$1${endpoint}`);
  return { before, after, removed: dockershimFlags.filter((flag) => removed.has(flag)) };
}

/** The same, with an endpoint put into kubeadm's file where it has none. */
export function editFlags(before: string, endpoint: string): FlagsEdit {
  const { after, removed } = replaceFlags(before, endpoint);
  if (namesEndpoint(after) || /^containerRuntimeEndpoint:/m.test(after)) {
    return { before, after, removed };
  }
  const added = after.replace(
    /^(KUBELET_KUBEADM_ARGS=["']?)[ \t]*/m,
    `$1--container-runtime-endpoint=${endpoint} `,
  );
  return { before, after: added, removed };
}

/** Flags on a command line that newer kubelets do not know, as they are written there. */
export function lostFlagsOf(words: readonly string[]): LostFlag[] {
  const names = words.map((word) => word.split("=", 1)[0] ?? "");
  return lostFlags.flatMap(({ flag, since }) => {
    const found = names.find((name) => withDashes(name) === withDashes(flag));
    const isOther = flag === "--container-runtime" && flagOf(words, flag) !== remote;
    return found === undefined || isOther ? [] : [{ flag: found, since }];
  });
}

/** Dockershim's flags in a text. */
export const dockershimFlagsOf = (text: string): string[] => replaceFlags(text, "unix:///").removed;

/** Takes flags out of a text, as their names say. */
export const withoutFlags = (text: string, flags: readonly string[]): string =>
  text.replaceAll(lineInUse, (line) =>
    flags.reduce((rest, flag) => rest.replaceAll(patternOf(flag), ""), line),
  );

/**
 * Writes the edited file, and the old text beside it as `<path>.before-dockline`, or with a number
 * behind that where an earlier edit has left another text there: what was edited by hand in between
 * is not lost either. Returns the path of the copy, which is undefined for a file that was not there.
 */
export async function writeFlags(
  path: string,
  edit: Pick<FlagsEdit, "before" | "after"> & Partial<FlagsEdit>,
): Promise<string | undefined> {
  const copy = await keepOld(path, edit.before);
  await replaceText(path, edit.after);
  return copy;
}

async function keepOld(path: string, text: string): Promise<string | undefined> {
  for (let number = 1; ; number += 1) {
    const copy = `${path}.before-dockline${number === 1 ? "" : `-${number}`}`;
    const there = await readTextIfExists(copy);
    if (there === text) return copy;
    if (there !== undefined) continue;
    try {
      // It may hold what the file's mode hides.
      const { mode } = await stat(path);
      await writeFileAtomic(copy, text, mode & 0o777);
      return copy;
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
      return undefined;
    }
  }
}
