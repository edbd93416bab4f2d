import { readManifest } from "../../../../src/cli/play/manifest.ts";
import type { PlannedPod, ProbeAction } from "../../../../src/cli/play/plan.ts";
import { PodRun } from "../../../../src/cli/play/pod-run.ts";

import type { PlayServices, ProbeResult } from "../../../../src/cli/play/services.ts";
import { FakeCri } from "../../../support/fake-cri.ts";
import { VirtualClock } from "../../index/virtual-clock.ts";

/** The plan of a pod `p` with a container `c`, whose fields may be added to. */
export const plan = (spec: object, container: object = {}, ...more: object[]): PlannedPod => {
  const document = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p" },
    spec: { containers: [{ name: "c", image: "i:1", ...container }, ...more], ...spec },
  };
  const [pod] = readManifest([{ name: "f", text: JSON.stringify(document) }]).pods;
  if (pod === undefined) throw new Error("no pod");
  return pod;
};
export const good: ProbeResult = { outcome: "success", text: "" };
export const bad: ProbeResult = { outcome: "failure", text: "no" };

/** A server and a node on which a pod is played; `down` is what another terminal does. */
export class Stage {
  readonly cri = new FakeCri();
  readonly clock = new VirtualClock();
  readonly said: string[] = [];
  readonly stop = new AbortController();
  isDown = false;
  hasFolders = false;
  probe: (action: ProbeAction) => ProbeResult = () => good;
  readonly services: PlayServices = {
    runtime: this.cri.runtime,
    images: this.cri.images,
    disk: {
      make: () => Promise.resolve(void (this.hasFolders = true)),
      writeHosts: () => Promise.resolve(),
      markDown: () => Promise.resolve(),
      clearMark: () => Promise.resolve(),
      isTakenDown: () => Promise.resolve(this.isDown),
      removeLog: () => Promise.resolve(),
      remove: () => Promise.resolve(),
    },
    clock: this.clock,
    say: (text) => void this.said.push(text),
    probe: (action) => Promise.resolve(this.probe(action)),
    follow: () => Promise.resolve(),
  };

  play(pod: PlannedPod, options: { detach?: boolean; replace?: boolean } = {}): Played {
    const played: Played = { code: undefined, error: undefined };
    const run = new PodRun(this.services, pod, {
      detach: options.detach ?? false,
      replace: options.replace ?? false,
      isOneOfSeveral: false,
    });
    played.done = run.run(this.stop.signal).then(
      (code) => void (played.code = code),
      (error: unknown) => void (played.error = error),
    );
    return played;
  }
  /** What changed on the server since the last time. */
  changes(): string[] {
    return this.cri.changes.splice(0);
  }
}
export interface Played {
  code: number | undefined;
  error: unknown;
  done?: Promise<void>;
}
