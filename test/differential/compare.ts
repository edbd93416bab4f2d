import type { Observation } from "./observation.ts";

/** One thing that the two runtimes did otherwise. */
export interface Difference {
  /** `group/what` of the observation. */
  readonly what: string;
  /** Undefined where the runtime showed nothing of the kind. */
  readonly dockline: string | undefined;
  readonly containerd: string | undefined;
}

/** Everything in which two observations differ, sorted; where only one of them ran, no more than that. */
export function differencesBetween(dockline: Observation, containerd: Observation): Difference[] {
  const apart = dockline.get("outcome/stage") !== containerd.get("outcome/stage");
  const keys = [...new Set([...dockline.keys(), ...containerd.keys()])].sort();
  return keys
    .filter((what) => !apart || /^outcome\/(?:stage|code)$/.test(what))
    .map((what) => ({ what, dockline: dockline.get(what), containerd: containerd.get(what) }))
    .filter((one) => inOrder(one.what, one.dockline) !== inOrder(one.what, one.containerd));
}

/** Groups of a process are a set: the kernel sorts them itself. */
function inOrder(what: string, text: string | undefined): string | undefined {
  if (text === undefined || !what.endsWith(".supplementalGroups")) return text;
  return JSON.stringify((JSON.parse(text) as string[]).sort());
}

export function showDifference({ what, dockline, containerd }: Difference): string {
  const show = (text: string | undefined): string =>
    text === undefined ? "–" : text.slice(0, 600);
  return `${what}\n      dockline:   ${show(dockline)}\n      containerd: ${show(containerd)}`;
}
