import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { parse as parseYaml } from "yaml";
import type { CdiContainerEdits, CdiDeviceNode } from "../convert/cdi-edits.ts";
import { parseCdiSpec, resolveCdi } from "../convert/cdi-spec.ts";
import type { CdiDeviceNodeDraft, PlacedCdiSpec } from "../convert/cdi-spec.ts";
import { CriError, errorText, invalidArgument } from "../errors.ts";
import { namesIn } from "../sys/fs.ts";

/** Where vendors put specifications, and programs of the node what they make at run time. */
export const cdiFolders = ["/etc/cdi", "/var/run/cdi"];
const specLimitBytes = 16 << 20;

/**
 * What CDI devices change in a container, for engines that have no CDI themselves; read again for
 * each start, as drivers rewrite the files.
 *
 * @throws InvalidArgument for a device that is not there, with what is wrong with the files
 */
export async function readCdiEdits(
  names: readonly string[],
  folders: readonly string[] = cdiFolders,
): Promise<CdiContainerEdits[]> {
  if (names.length === 0) return [];
  const specs: PlacedCdiSpec[] = [];
  const broken: string[] = [];
  for (const [folder, path] of folders.entries()) await readFolder(path, folder, specs, broken);
  try {
    const drafts = resolveCdi(names, specs);
    return await Promise.all(
      drafts.map(async ({ deviceNodes, ...edits }) => ({
        ...edits,
        deviceNodes: await Promise.all((deviceNodes ?? []).map(completeNode)),
      })),
    );
  } catch (error) {
    if (broken.length === 0 || !(error instanceof CriError)) throw error;
    throw invalidArgument(`${error.message}; unusable: ${broken.join("; ")}`);
  }
}

async function readFolder(
  path: string,
  folder: number,
  specs: PlacedCdiSpec[],
  broken: string[],
): Promise<void> {
  for (const name of (await namesIn(path)).sort()) {
    if (!/\.(?:json|yaml|yml)$/.test(name)) continue;
    const file = join(path, name);
    try {
      const found = await stat(file);
      if (!found.isFile() || found.size > specLimitBytes)
        throw new Error("not a regular file of reasonable size");
      // JSON is YAML, but its own parser is stricter.
      const text = await readFile(file, "utf8");
      const value: unknown = name.endsWith(".json") ? JSON.parse(text) : parseYaml(text);
      specs.push({ folder, path: file, spec: parseCdiSpec(value) });
    } catch (error) {
      broken.push(`${file}: ${errorText(error)}`);
    }
  }
}

/** Type and numbers are those of the host's node where the file does not say. */
async function completeNode(draft: CdiDeviceNodeDraft): Promise<CdiDeviceNode> {
  const { hostPath = draft.path, type, major, minor, ...rest } = draft;
  if (type !== undefined && (type === "p" || (major !== undefined && minor !== undefined))) {
    return { ...rest, type, major: major ?? 0, minor: minor ?? 0 };
  }
  try {
    const found = await stat(hostPath);
    const kind = found.isCharacterDevice() ? "c" : found.isBlockDevice() ? "b" : undefined;
    if (kind === undefined) throw new Error("is not a device");
    return { ...rest, type: type ?? kind, ...deviceNumbers(found.rdev) };
  } catch (error) {
    throw invalidArgument(`CDI_devices: the device node ${hostPath}: ${errorText(error)}`);
  }
}

/** Linux's encoding of dev_t in user space: 12 bits of major and 20 of minor in the low 32. */
function deviceNumbers(rdev: number): { major: number; minor: number } {
  const low = rdev >>> 0;
  const high = Math.floor(rdev / 2 ** 32);
  return {
    major: ((low >>> 8) & 0xfff) | (high & 0xfffff000),
    minor: (low & 0xff) | ((low >>> 12) & 0xfff00),
  };
}
