import { readFile } from "node:fs/promises";
import { isErrno, writeFileAtomic } from "../sys/fs.ts";

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

export interface FlagsEdit {
  before: string;
  after: string;
  /** Flags that were taken out. */
  removed: string[];
}

/**
 * A kubelet flags file (kubeadm's kubeadm-flags.env) or configuration file with its endpoint
 * replaced by ours, and dockershim's flags taken out. The rest stays byte for byte.
 */
export function editFlags(before: string, endpoint: string): FlagsEdit {
  const removed: string[] = [];
  let after = before
    .replaceAll(/(--container-runtime-endpoint[= ])[^\s"']+/g, `$1${endpoint}`)
    .replaceAll(/^(containerRuntimeEndpoint:\s*)\S+/gm, `$1${endpoint}`);
  for (const flag of dockershimFlags) {
    // The whole flag, not one that begins like it; its value with "=" or as the next word.
    const pattern = new RegExp(
      `(?<=["'\\s]|^)${flag}(?=[=\\s"']|$)(?:=[^\\s"']*|\\s+(?!-)[^\\s"']+)?[ \\t]?`,
      "gm",
    );
    after = after.replaceAll(pattern, () => {
      removed.push(flag);
      return "";
    });
  }
  const hasEndpoint = /--container-runtime-endpoint[= ]|^containerRuntimeEndpoint:/m.test(after);
  if (!hasEndpoint && /^KUBELET_KUBEADM_ARGS="/m.test(after)) {
    after = after.replace(
      /^(KUBELET_KUBEADM_ARGS=")/m,
      `$1--container-runtime-endpoint=${endpoint} `,
    );
  }
  return { before, after, removed };
}

/** Writes the edited file, the old one beside it as `<path>.before-dockline` unless that is there. */
export async function writeFlags(path: string, edit: FlagsEdit): Promise<void> {
  const backup = `${path}.before-dockline`;
  try {
    await readFile(backup);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
    await writeFileAtomic(backup, edit.before, 0o644);
  }
  await writeFileAtomic(path, edit.after, 0o644);
}
