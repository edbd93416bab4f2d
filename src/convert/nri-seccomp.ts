import { Field } from "../gen/nri/v1alpha1/api_pb.js";
import type { ContainerAdjustment, LinuxSyscall } from "../gen/nri/v1alpha1/api_pb.js";
import type { RuntimeFeatures } from "./engine-facts.ts";
import { hasNul, type Part } from "./nri-process.ts";
import type { Refusals } from "./nri-refusal.ts";

const field = { name: "linux.seccomp_policy", field: Field.SeccompPolicy };

/** The whole policy, in place of the kubelet's. */
export function seccomp(
  adjust: ContainerAdjustment,
  features: RuntimeFeatures | undefined,
  refusals: Refusals,
): Part {
  const asked = adjust.linux?.seccompPolicy;
  if (asked === undefined) return {};
  const known = features?.linux?.seccomp;
  if (known?.enabled !== true) {
    throw refusals.of(field, "FailedPrecondition", "the real runtime does not say that it has it");
  }
  const check = (what: string, names: readonly string[], list: readonly string[] = []): void => {
    const unknown = names.find((name) => !list.includes(name));
    if (unknown === undefined) return;
    const why = `the real runtime does not know the ${what} ${JSON.stringify(unknown.slice(0, 80))}`;
    throw refusals.of(field, "FailedPrecondition", why);
  };
  const { syscalls } = asked;
  check("action", [asked.defaultAction, ...syscalls.map(({ action }) => action)], known.actions);
  check("architecture", asked.architectures, known.archs);
  check("flag", asked.flags, known.supportedFlags ?? known.knownFlags);
  const operators = syscalls.flatMap(({ args }) => args.map(({ op }) => op));
  check("operator", operators, known.operators);
  const texts = [
    asked.listenerPath,
    asked.listenerMetadata,
    ...syscalls.flatMap(({ names }) => names),
  ];
  if (texts.some(hasNul)) throw refusals.of(field, "InvalidArgument", "holds a NUL");
  const value = {
    defaultAction: asked.defaultAction,
    ...(asked.defaultErrno === undefined ? {} : { defaultErrnoRet: asked.defaultErrno.value }),
    ...(asked.architectures.length === 0 ? {} : { architectures: asked.architectures }),
    ...(asked.flags.length === 0 ? {} : { flags: asked.flags }),
    ...(asked.listenerPath === "" ? {} : { listenerPath: asked.listenerPath }),
    ...(asked.listenerMetadata === "" ? {} : { listenerMetadata: asked.listenerMetadata }),
    ...(syscalls.length === 0 ? {} : { syscalls: syscalls.map((one) => syscall(one, refusals)) }),
  };
  return { ops: [{ op: "set", path: "/linux/seccomp", value }] };
}

function syscall({ names, action, errnoRet, args }: LinuxSyscall, refusals: Refusals) {
  const number = (value: bigint): number => {
    if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
    throw refusals.of(field, "Unimplemented", `an argument of ${value}, which is over 2^53`);
  };
  return {
    names,
    action,
    ...(errnoRet === undefined ? {} : { errnoRet: errnoRet.value }),
    ...(args.length === 0
      ? {}
      : {
          args: args.map(({ index, value, valueTwo, op }) => ({
            index,
            value: number(value),
            ...(valueTwo === 0n ? {} : { valueTwo: number(valueTwo) }),
            op,
          })),
        }),
  };
}
