import type { SandboxDeps } from "./sandbox-deps.ts";
import type { Sandboxes } from "./sandboxes.ts";

/** What the handlers of pods and containers work with; each group picks what it needs. */
export interface PodDeps extends SandboxDeps {
  sandboxes: Sandboxes;
}
