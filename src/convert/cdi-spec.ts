import { invalidArgument } from "../errors.ts";
import type { CdiContainerEdits, CdiDeviceNode } from "./cdi-edits.ts";
import { quoted } from "./field-checks.ts";

/** A device node as a specification may leave it: what is missing is that of the host's own node. */
export type CdiDeviceNodeDraft = Partial<CdiDeviceNode> &
  Pick<CdiDeviceNode, "path"> & { readonly hostPath?: string };

export type CdiEditsDraft = Omit<CdiContainerEdits, "deviceNodes"> & {
  readonly deviceNodes?: readonly CdiDeviceNodeDraft[];
};

/** One specification file (cncf-tags/container-device-interface, SPEC.md). */
export interface CdiSpec {
  /** vendor/class */
  readonly kind: string;
  readonly edits: CdiEditsDraft;
  readonly devices: ReadonlyMap<string, CdiEditsDraft>;
}

/** A specification and the place of its folder: those of a later folder win. */
export interface PlacedCdiSpec {
  readonly folder: number;
  readonly path: string;
  readonly spec: CdiSpec;
}

/** Members of containerEdits that no edit of ours carries; passing over them would be silent. */
const UNSUPPORTED = ["intelRdt", "netDevices"];

/** @throws Error saying what is wrong with the file */
export function parseCdiSpec(value: unknown): CdiSpec {
  const file = object("the specification", value);
  const kind = text("kind", file["kind"]);
  const devices = new Map<string, CdiEditsDraft>();
  for (const entry of list("devices", file["devices"])) {
    const device = object("a device", entry);
    const name = text("a device's name", device["name"]);
    if (devices.has(name)) throw new Error(`the device ${quoted(name)} is there twice`);
    devices.set(name, parseEdits(device["containerEdits"]));
  }
  return { kind, devices, edits: parseEdits(file["containerEdits"]) };
}

/**
 * What the named devices (vendor/class=name) change, in order; what a specification says of all its
 * devices once, before its first one.
 *
 * @throws InvalidArgument for a device that no specification has, or two of one folder have
 */
export function resolveCdi(
  names: readonly string[],
  specs: readonly PlacedCdiSpec[],
): CdiEditsDraft[] {
  const seen = new Set<CdiSpec>();
  return [...new Set(names)].flatMap((name) => {
    const at = name.indexOf("=");
    const [kind, device] = [name.slice(0, at), name.slice(at + 1)];
    const having = specs.filter(({ spec }) => spec.kind === kind && spec.devices.has(device));
    const folder = Math.max(...having.map((found) => found.folder));
    const [first, second] = having.filter((found) => found.folder === folder);
    if (first === undefined) throw invalidArgument(`CDI_devices: no device ${quoted(name)} here`);
    if (second !== undefined) {
      throw invalidArgument(
        `CDI_devices: ${quoted(name)} is in both ${first.path} and ${second.path}`,
      );
    }
    const own = first.spec.devices.get(device) ?? {};
    if (seen.has(first.spec)) return [own];
    seen.add(first.spec);
    return [first.spec.edits, own];
  });
}

function parseEdits(value: unknown): CdiEditsDraft {
  if (value === undefined || value === null) return {};
  const edits = object("containerEdits", value);
  for (const member of UNSUPPORTED) {
    if (edits[member] !== undefined) throw new Error(`${member} is not supported`);
  }
  const texts = (name: string, of: Record<string, unknown>): string[] =>
    list(name, of[name]).map((entry) => text(name, entry));
  return {
    env: texts("env", edits),
    deviceNodes: list("deviceNodes", edits["deviceNodes"]).map(parseNode),
    mounts: list("mounts", edits["mounts"]).map((entry) => {
      const mount = object("a mount", entry);
      return {
        hostPath: text("hostPath", mount["hostPath"]),
        containerPath: text("containerPath", mount["containerPath"]),
        ...(mount["type"] === undefined ? {} : { type: text("type", mount["type"]) }),
        ...(mount["options"] === undefined ? {} : { options: texts("options", mount) }),
      };
    }),
    hooks: list("hooks", edits["hooks"]).map((entry) => {
      const hook = object("a hook", entry);
      return {
        hookName: text("hookName", hook["hookName"]),
        path: text("path", hook["path"]),
        ...(hook["args"] === undefined ? {} : { args: texts("args", hook) }),
        ...(hook["env"] === undefined ? {} : { env: texts("env", hook) }),
        ...number("timeout", hook),
      };
    }),
    additionalGids: list("additionalGids", edits["additionalGids"]).map((entry) =>
      wholeNumber("additionalGids", entry),
    ),
  };
}

function parseNode(value: unknown): CdiDeviceNodeDraft {
  const node = object("a device node", value);
  const type = node["type"];
  if (type !== undefined && type !== "b" && type !== "c" && type !== "u" && type !== "p") {
    throw new Error("a device node's type is not one of b, c, u, p");
  }
  return {
    path: text("path", node["path"]),
    ...(node["hostPath"] === undefined ? {} : { hostPath: text("hostPath", node["hostPath"]) }),
    ...(type === undefined ? {} : { type }),
    ...number("major", node),
    ...number("minor", node),
    ...number("fileMode", node),
    ...number("uid", node),
    ...number("gid", node),
    ...(node["permissions"] === undefined
      ? {}
      : { permissions: text("permissions", node["permissions"]) }),
  };
}

function object(what: string, value: unknown): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new Error(`${what} is not an object`);
}

function list(what: string, value: unknown): unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw new Error(`${what} is not a list`);
}

function text(what: string, value: unknown): string {
  if (typeof value === "string" && value !== "" && !value.includes("\0")) return value;
  throw new Error(`${what} is not a string`);
}

function wholeNumber(what: string, value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error(`${what} is not a whole number`);
}

function number<K extends string>(
  name: K,
  of: Record<string, unknown>,
): Partial<Record<K, number>> {
  if (of[name] === undefined) return {};
  return { [name]: wholeNumber(name, of[name]) } as Record<K, number>;
}
