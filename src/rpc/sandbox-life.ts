/*
 * src/rpc: the handlers, one file per group of RPCs: check the request, find the object, call the
 * folder that does the work, answer.
 * Not here: the work itself, and state between calls.
 */
import { configHash } from "../convert/config-hash.ts";
import { sandboxName } from "../convert/names.ts";
import type { Handlers } from "../cri/bind.ts";
import { invalidArgument } from "../errors.ts";
import { PodSandboxConfigSchema } from "../gen/runtime/v1/api_pb.js";
import type { RuntimeService } from "../gen/runtime/v1/api_pb.js";
import type { PodDeps } from "../pods/deps.ts";

/** `dockline release` sends it with StopPodSandbox: what cannot be undone is given up. */
const releaseKey = "dockline-release";

/** RunPodSandbox, StopPodSandbox, RemovePodSandbox. The last two succeed for what is unknown or done. */
export function sandboxLife({
  sandboxes,
  hooks,
}: Pick<PodDeps, "sandboxes" | "hooks">): Pick<
  Handlers<typeof RuntimeService>,
  "runPodSandbox" | "stopPodSandbox" | "removePodSandbox"
> {
  return {
    runPodSandbox: async (request, context) => {
      const { config, runtimeHandler } = request;
      if (config?.metadata === undefined) throw invalidArgument("config.metadata is missing");
      if (hooks.starting !== undefined) await hooks.starting;
      const name = sandboxName(config.metadata);
      const hash = configHash(PodSandboxConfigSchema, config, runtimeHandler);
      const wanted = { name, config, runtimeHandler, hash };
      return { podSandboxId: await sandboxes.of(name).bringTo("ready", wanted, context) };
    },
    stopPodSandbox: async ({ podSandboxId }, context) => {
      if (podSandboxId === "") throw invalidArgument("stop: pod sandbox id is empty");
      const known = await sandboxes.find(podSandboxId);
      const giveUp = context.metadata(releaseKey) === "true";
      await known?.sandbox.bringTo("stopped", known.found, { signal: context.signal, giveUp });
      return {};
    },
    removePodSandbox: async ({ podSandboxId }, context) => {
      if (podSandboxId === "") throw invalidArgument("remove: pod sandbox id is empty");
      const known = await sandboxes.find(podSandboxId);
      await known?.sandbox.bringTo("gone", known.found, { signal: context.signal });
      return {};
    },
  };
}
