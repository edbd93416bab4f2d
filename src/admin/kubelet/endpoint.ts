import { basename } from "node:path";
import { editFlags, namesEndpoint, replaceFlags } from "../kubelet-flags.ts";
import { flagOf } from "../migrate-node.ts";
import { isUnitFile, kubeadmFlagsName, wordsOf } from "./files.ts";
import type { TextFile } from "../text-file.ts";
import type { KubeletFiles } from "./files.ts";
import { readKey, writeKey } from "./yaml-key.ts";

export interface Found {
  value: string;
  /** The file, or "the running kubelet, pid N" for its command line. */
  from: string;
  /** Of a flag: the file to change it in, or in words who has it. Undefined for a key of a configuration. */
  flagOf?: string;
}

const flagName = "--container-runtime-endpoint";
const keyName = "containerRuntimeEndpoint";
/** kubeadm's gate NodeLocalCRISocket: from here on it writes no flag, but a file. */
const nodeLocalSocket = 34;
/** From here on kubeadm knows no annotation, and guesses where that file is missing. */
const noAnnotation = 37;

/** Where no known file has a flag that the running kubelet has. */
export const startOfKubelet = "what starts that kubelet";

/** A flag as the kubelet has it: a process that runs decides, else the last file that has it. */
export function flagIn(files: KubeletFiles, name: string): Found | undefined {
  const { running, flags, units } = files;
  const valueIn = (text: string): string | undefined => flagOf(wordsOf(text), name);
  const file = [...units, ...flags].findLast(({ text }) => valueIn(text) !== undefined);
  if (running !== undefined) {
    const value = flagOf(running.args, name);
    const from = `the running kubelet, pid ${running.pid}`;
    return value === undefined ? undefined : { value, from, flagOf: file?.path ?? startOfKubelet };
  }
  const value = file === undefined ? undefined : valueIn(file.text);
  return file === undefined || value === undefined
    ? undefined
    : { value, from: file.path, flagOf: file.path };
}

/** A string of the configuration, of the last drop-in file that has it. */
export function keyIn({ config, dropIns }: KubeletFiles, name: string): Found | undefined {
  for (const file of [config, ...dropIns].reverse()) {
    const value = file === undefined ? undefined : readKey(file.text, name);
    if (file !== undefined && value !== undefined) return { value, from: file.path };
  }
  return undefined;
}

/** Where the kubelet has its runtime from: a flag wins over drop-in files, those over the configuration. */
export const endpointOf = (files: KubeletFiles): Found | undefined =>
  flagIn(files, flagName) ?? keyIn(files, keyName);

/** The runtime on the running kubelet's command line, where its files say another by now. */
export function staleEndpoint(files: KubeletFiles, endpoint: string): string | undefined {
  const now = files.running === undefined ? undefined : flagIn(files, flagName)?.value;
  return now === endpoint ? undefined : now;
}

/** What kubeadm's next upgrade makes of the configuration. */
export function nextEndpointOf({ instance }: KubeletFiles): Found | undefined {
  const value = instance === undefined ? undefined : readKey(instance.text, keyName);
  return instance === undefined || value === undefined ? undefined : { value, from: instance.path };
}

export interface EndpointEdit extends TextFile {
  /** The text that it gets. */
  after: string;
  /** Flags that were taken out. */
  removed: readonly string[];
  /** A file that is not there yet. */
  isNew: boolean;
  /** One of systemd's: it has to be read again. */
  isUnit: boolean;
}

export interface EndpointPlan {
  edits: EndpointEdit[];
  /** What no edit of ours can change; the kubelet would stay where it is. */
  obstacles: string[];
}

/**
 * What has to change for the kubelet to use `endpoint`, now and after kubeadm's next upgrade: each
 * file that names one, and kubeadm's instance-config.yaml. `minor` is the kubelet's, where known.
 */
export function planEndpoint(
  files: KubeletFiles,
  endpoint: string,
  minor: number | undefined,
): EndpointPlan {
  const edits: EndpointEdit[] = [];
  const obstacles: string[] = [];
  const edit = (file: TextFile, change: (text: string) => string, more: object = {}): void => {
    try {
      const after = change(file.text);
      if (after === file.text) return;
      if (/^\/proc\/\d+\/root\//.test(file.path)) {
        throw new Error("it is in the running kubelet's own root: edit it there");
      }
      edits.push({ ...file, after, removed: [], isNew: false, isUnit: false, ...more });
    } catch (error) {
      obstacles.push(`${file.path}: ${(error as Error).message}`);
    }
  };
  let named = false;
  for (const file of [...files.units, ...files.flags]) {
    const isUnit = files.units.includes(file) || isUnitFile(file.path);
    const { after, removed } = replaceFlags(file.text, endpoint);
    const names = namesEndpoint(after);
    named ||= names;
    if (names && flagOf(wordsOf(after), flagName) !== endpoint) {
      obstacles.push(`${file.path}: ${flagName} cannot be changed in it: edit it by hand`);
    } else if (
      files.units.includes(file) &&
      after !== file.text &&
      !file.path.startsWith("/etc/")
    ) {
      obstacles.push(`${file.path} is a package's: override it (systemctl edit kubelet)`);
    } else edit(file, () => after, { removed, isUnit });
  }
  const onCommandLine = files.running !== undefined && flagIn(files, flagName) !== undefined;
  if (onCommandLine && !named && flagIn(files, flagName)?.value !== endpoint) {
    obstacles.push(
      `the running kubelet has ${flagName} on its command line, and no file that is known here has it: change it where that kubelet is started`,
    );
  }
  named ||= onCommandLine;
  for (const file of [files.config, ...files.dropIns]) {
    if (file === undefined || readKey(file.text, keyName) === undefined) continue;
    named = true;
    edit(file, (text) => writeKey(text, keyName, endpoint));
  }
  const { instance, instancePath: path } = files;
  if (instance !== undefined) edit(instance, (text) => writeKey(text, keyName, endpoint));
  else if (needsInstance(files, minor)) {
    edit({ path, text: "" }, (text) => writeKey(text, keyName, endpoint), { isNew: true });
  }
  if (!named) nameIt(files, endpoint, minor, { edits, edit, obstacles });
  return { edits, obstacles };
}

/** Without one, kubeadm 1.37 guesses among the sockets that it knows; before, it asks the flags. */
export function needsInstance(files: KubeletFiles, minor: number | undefined): boolean {
  const kubeadm = files.flags.find(({ path }) => basename(path) === kubeadmFlagsName);
  if (kubeadm === undefined || minor === undefined) return false;
  // A file without the key says as little as none.
  if (nextEndpointOf(files) !== undefined) return false;
  const hasFlag = flagOf(wordsOf(kubeadm.text), flagName) !== undefined;
  return minor >= noAnnotation || (minor >= nodeLocalSocket && !hasFlag);
}

/** For a kubelet that no file tells: an old one has no key for it, a new one of kubeadm's no flag. */
function nameIt(
  { flags, config, instance }: KubeletFiles,
  endpoint: string,
  minor: number | undefined,
  plan: EndpointPlan & {
    edit: (file: TextFile, change: (text: string) => string, more?: object) => void;
  },
): void {
  const file = flags.find(({ text }) => /^KUBELET_KUBEADM_ARGS=/m.test(text));
  const byKey = instance !== undefined || (minor ?? 0) >= nodeLocalSocket;
  if (file !== undefined && !(byKey && config !== undefined)) {
    const { after, removed } = editFlags(file.text, endpoint);
    const earlier = plan.edits.findIndex(({ path }) => path === file.path);
    if (earlier >= 0) plan.edits.splice(earlier, 1);
    plan.edit(file, () => after, { removed });
  } else if (config !== undefined) plan.edit(config, (text) => writeKey(text, keyName, endpoint));
  else {
    plan.obstacles.push(
      `no file of the kubelet's is known that could name its runtime (--kubelet-config, --kubelet-flags)`,
    );
  }
}

/**
 * Whether kubeadm's next run on this node reads the annotation: before 1.34, and until 1.36 where the
 * node has no instance-config.yaml.
 */
export function readsAnnotation({ instance }: KubeletFiles, minor: number | undefined): boolean {
  return instance === undefined && (minor === undefined || minor < noAnnotation);
}
