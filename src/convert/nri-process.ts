import {
  Field,
  IOPrioClass,
  LinuxSchedulerFlag,
  LinuxSchedulerPolicy,
} from "../gen/nri/v1alpha1/api_pb.js";
import type { ContainerAdjustment, Hook } from "../gen/nri/v1alpha1/api_pb.js";
import type { RuntimeFeatures } from "./engine-facts.ts";
import type { Refusals } from "./nri-refusal.ts";
import type { OciOperation } from "./oci-edits.ts";
import type { Requirement } from "./runtime-features.ts";
import { hookKinds } from "./oci-hooks.ts";

/** Edits of one part of the OCI spec, and what the real runtime must know for them. */
export interface Part {
  readonly ops?: readonly OciOperation[];
  readonly merge?: Readonly<Record<string, unknown>>;
  readonly requires?: readonly Requirement[];
}

const mark = "-";
/** The shim's grouping key, and what runc itself takes for settings of its own. */
const unsafeAnnotation =
  /^(?:io\.containerd\.runc\.v2\.group|bundle|org\.systemd\.property\..*|org\.criu\.config)$/;
const limitTypes =
  "AS CORE CPU DATA FSIZE LOCKS MEMLOCK MSGQUEUE NICE NOFILE NPROC RSS RTPRIO RTTIME SIGPENDING STACK".split(
    " ",
  );
const olderThan11 = "would pass over it; runc does it from 1.2 on";

export function annotations(adjust: ContainerAdjustment, refusals: Refusals): Part {
  const keys = Object.keys(adjust.annotations);
  if (keys.length === 0) return {};
  const patch = nullsAndTexts(adjust.annotations);
  for (const key of Object.keys(patch)) {
    const field = { name: "annotations", field: Field.Annotations, key };
    if (unsafeAnnotation.test(key)) {
      throw refusals.of(field, "InvalidArgument", "it would steer the runtime itself");
    }
    if (key === "" || hasNul(key) || hasNul(patch[key] ?? "")) {
      throw refusals.of(field, "InvalidArgument", "not an annotation");
    }
  }
  return { merge: { annotations: patch } };
}

/** Removal marks → null, for a merge patch. */
export function nullsAndTexts(
  map: Readonly<Record<string, string>>,
): Record<string, string | null> {
  const patch = Object.create(null) as Record<string, string | null>;
  for (const key of Object.keys(map)) if (key.startsWith(mark)) patch[key.slice(1)] = null;
  for (const key of Object.keys(map)) if (!key.startsWith(mark)) patch[key] = map[key] ?? "";
  return patch;
}

/** What an adjustment makes of variables; null takes one away. */
export function variables(
  adjust: ContainerAdjustment,
  refusals: Refusals,
): Record<string, string | null> {
  const set = Object.create(null) as Record<string, string | null>;
  for (const { key, value } of adjust.env) {
    const name = key.startsWith(mark) ? key.slice(1) : key;
    const field = { name: "env", field: Field.Env, key: name };
    if (name === "" || name.includes("=") || hasNul(name)) {
      throw refusals.of(field, "InvalidArgument", "not a variable's name");
    }
    if (hasNul(value)) throw refusals.of(field, "InvalidArgument", "the value holds a NUL");
    set[name] = name === key ? value : null;
  }
  return set;
}

export function env(set: Readonly<Record<string, string | null>>): Part {
  const ops = Object.keys(set).map((name): OciOperation => {
    const value = set[name] ?? null;
    return value === null ? { op: "envDrop", name } : { op: "env", name, value };
  });
  return { ops };
}

export function args(adjust: ContainerAdjustment, refusals: Refusals): Part {
  if (adjust.args.length === 0) return {};
  const field = { name: "args", field: Field.Args };
  if (adjust.args[0] === "") throw refusals.of(field, "InvalidArgument", "names no program");
  if (adjust.args.some(hasNul)) throw refusals.of(field, "InvalidArgument", "holds a NUL");
  return { ops: [{ op: "set", path: "/process/args", value: adjust.args }] };
}

export function hooks(
  adjust: ContainerAdjustment,
  features: RuntimeFeatures | undefined,
  refusals: Refusals,
): Part {
  const asked = adjust.hooks;
  if (asked === undefined) return {};
  const used = hookKinds.filter((kind) => asked[kind].length > 0);
  return {
    ops: used.map((kind) => ({
      op: "append",
      path: `/hooks/${kind}`,
      values: asked[kind].map((one) => hook(one, kind, refusals)),
    })),
    requires: used.map((kind) =>
      refusals.require(
        { name: `hooks.${kind}`, field: Field.OciHooks },
        features,
        `hook:${kind}`,
        "does not run such hooks",
      ),
    ),
  };
}

function hook({ path, args: words, env: lines, timeout }: Hook, kind: string, refusals: Refusals) {
  const field = { name: `hooks.${kind}`, field: Field.OciHooks };
  if (!path.startsWith("/"))
    throw refusals.of(field, "InvalidArgument", "the path is not absolute");
  if ([path, ...words, ...lines].some(hasNul)) {
    throw refusals.of(field, "InvalidArgument", "holds a NUL");
  }
  const seconds = timeout?.value ?? 0n;
  if (seconds < 0n || seconds > 2n ** 31n) {
    throw refusals.of(field, "InvalidArgument", `${seconds} is not a timeout in seconds`);
  }
  return {
    path,
    ...(words.length === 0 ? {} : { args: words }),
    ...(lines.length === 0 ? {} : { env: lines }),
    // Absent is no limit; the specification has no 0.
    ...(seconds === 0n ? {} : { timeout: Number(seconds) }),
  };
}

export function oomScoreAdj(adjust: ContainerAdjustment, refusals: Refusals): Part {
  const score = adjust.linux?.oomScoreAdj;
  if (score === undefined) return {};
  const { value } = score;
  if (value < -1000n || value > 1000n) {
    const field = { name: "linux.oom_score_adj", field: Field.OomScoreAdj };
    throw refusals.of(field, "InvalidArgument", `${value} is not in -1000…1000`);
  }
  return { ops: [{ op: "oomScoreAdj", value: Number(value) }] };
}

export function ioPriority(
  adjust: ContainerAdjustment,
  features: RuntimeFeatures | undefined,
  refusals: Refusals,
): Part {
  const asked = adjust.linux?.ioPriority;
  if (asked === undefined) return {};
  const field = { name: "linux.io_priority", field: Field.IoPriority };
  const path = "/process/ioPriority";
  if (asked.class === IOPrioClass.IOPRIO_CLASS_NONE) return { ops: [{ op: "remove", path }] };
  const name = IOPrioClass[asked.class] as string | undefined;
  if (name === undefined || asked.priority < 0 || asked.priority > 7) {
    throw refusals.of(field, "InvalidArgument", "not a class with a priority of 0…7");
  }
  const requires = [refusals.require(field, features, "spec:1.1.0", olderThan11)];
  return { ops: [{ op: "set", path, value: { class: name, priority: asked.priority } }], requires };
}

export function scheduler(
  adjust: ContainerAdjustment,
  features: RuntimeFeatures | undefined,
  refusals: Refusals,
): Part {
  const asked = adjust.linux?.scheduler;
  if (asked === undefined) return {};
  const field = { name: "linux.scheduler", field: Field.LinuxSched };
  const path = "/process/scheduler";
  if (asked.policy === LinuxSchedulerPolicy.SCHED_NONE) return { ops: [{ op: "remove", path }] };
  const policy = LinuxSchedulerPolicy[asked.policy] as string | undefined;
  const flags = asked.flags.map((flag) => LinuxSchedulerFlag[flag] as string | undefined);
  if (policy === undefined || flags.includes(undefined)) {
    throw refusals.of(field, "InvalidArgument", "not a scheduling policy with its flags");
  }
  const times = (["runtime", "deadline", "period"] as const).map((member) => {
    const value = asked[member];
    if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return [member, Number(value)] as const;
    throw refusals.of(field, "InvalidArgument", `${member} of ${value} ns is over 104 days`);
  });
  const value = {
    policy,
    ...(asked.nice === 0 ? {} : { nice: asked.nice }),
    ...(asked.priority === 0 ? {} : { priority: asked.priority }),
    ...(flags.length === 0 ? {} : { flags }),
    ...Object.fromEntries(times.filter(([, time]) => time !== 0)),
  };
  const requires = [refusals.require(field, features, "spec:1.1.0", olderThan11)];
  return { ops: [{ op: "set", path, value }], requires };
}

export function rlimits(adjust: ContainerAdjustment, refusals: Refusals): Part {
  if (adjust.rlimits.length === 0) return {};
  const values = adjust.rlimits.map(({ type, hard, soft }) => {
    const field = { name: "rlimits", field: Field.Rlimits, key: type };
    if (!type.startsWith("RLIMIT_") || !limitTypes.includes(type.slice(7))) {
      throw refusals.of(field, "InvalidArgument", "not a resource limit");
    }
    if (soft > hard) throw refusals.of(field, "InvalidArgument", `${soft} is above ${hard}`);
    return { type, hard: String(hard), soft: String(soft) };
  });
  const integers = ["hard", "soft"];
  return { ops: [{ op: "listPut", path: "/process/rlimits", key: "type", values, integers }] };
}

export const hasNul = (text: string): boolean => text.includes("\0");
