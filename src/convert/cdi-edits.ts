import { invalidArgument } from "../errors.ts";
import { quoted } from "./field-checks.ts";
import type { OciOperation } from "./oci-edits.ts";
import { hookKinds } from "./oci-hooks.ts";

/** `containerEdits` of a CDI specification (cncf-tags/container-device-interface), as read. */
export interface CdiContainerEdits {
  readonly env?: readonly string[];
  readonly deviceNodes?: readonly CdiDeviceNode[];
  readonly mounts?: readonly CdiMount[];
  readonly hooks?: readonly CdiHook[];
  readonly additionalGids?: readonly number[];
}

export interface CdiDeviceNode {
  readonly path: string;
  /** Where the specification leaves these out, the reader takes them from the device file. */
  readonly type: "b" | "c" | "u" | "p";
  readonly major: number;
  readonly minor: number;
  readonly fileMode?: number;
  readonly permissions?: string;
  readonly uid?: number;
  readonly gid?: number;
}

export interface CdiMount {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly type?: string;
  readonly options?: readonly string[];
}

export interface CdiHook {
  readonly hookName: string;
  readonly path: string;
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  /** Seconds. */
  readonly timeout?: number;
}

const knownHooks: readonly string[] = hookKinds;

/**
 * What CDI devices change in a container's spec, for engines that have no CDI themselves. The order
 * is that of the edits, so that a later device's variable wins.
 *
 * @throws InvalidArgument for an edit that is malformed
 */
export function cdiOperations(edits: readonly CdiContainerEdits[]): OciOperation[] {
  return edits.flatMap((edit) => [
    ...(edit.env ?? []).map(variable),
    ...(edit.deviceNodes ?? []).flatMap(device),
    ...append("/mounts", (edit.mounts ?? []).map(mount)),
    ...(edit.hooks ?? []).flatMap(hook),
    // Group 0 is root's; a container gets it only by asking for it itself.
    ...append(
      "/process/user/additionalGids",
      (edit.additionalGids ?? []).filter((gid) => gid !== 0),
    ),
  ]);
}

const append = (path: string, values: readonly unknown[]): OciOperation[] =>
  values.length === 0 ? [] : [{ op: "append", path, values }];

function variable(text: string): OciOperation {
  const equals = text.indexOf("=");
  if (equals < 1) throw invalidArgument(`CDI edit: ${quoted(text)} is not NAME=value`);
  return { op: "env", name: text.slice(0, equals), value: text.slice(equals + 1) };
}

function device(node: CdiDeviceNode): OciOperation[] {
  const { type, major, minor, fileMode, uid, gid } = node;
  const access = node.permissions ?? "rwm";
  if (!/^[rwm]{0,3}$/.test(access)) {
    throw invalidArgument(`CDI edit: permissions ${quoted(access)} are not of "rwm"`);
  }
  const entry = {
    ...{ path: node.path, type, major, minor },
    ...(fileMode === undefined ? {} : { fileMode }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  };
  const rule = { allow: true, type, major, minor, access };
  return [
    ...append("/linux/devices", [entry]),
    // A pipe needs no permission of the device cgroup, and the rule would not be valid.
    ...(type === "p" ? [] : append("/linux/resources/devices", [rule])),
  ];
}

function mount(edit: CdiMount): unknown {
  return {
    destination: edit.containerPath,
    type: edit.type ?? "bind",
    source: edit.hostPath,
    options: edit.options ?? ["rbind", "rprivate"],
  };
}

function hook(edit: CdiHook): OciOperation[] {
  const { hookName, path, args, env, timeout } = edit;
  if (!knownHooks.includes(hookName)) {
    throw invalidArgument(`CDI edit: ${quoted(hookName)} is not a hook`);
  }
  const entry = {
    path,
    ...(args === undefined ? {} : { args }),
    ...(env === undefined ? {} : { env }),
    ...(timeout === undefined ? {} : { timeout }),
  };
  return append(`/hooks/${hookName}`, [entry]);
}
