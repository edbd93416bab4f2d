import type { DockerEngine } from "../engine/docker-engine.ts";
import { lookForContainerd } from "./containerd-facts.ts";
import { containerdFindings, containerdSteps } from "./containerd-plan.ts";
import { findKubelet } from "./kubelet/steps.ts";
import type { MigrateOptions } from "./migrate-options.ts";
import { formatFindings, walkSteps } from "./report.ts";

/**
 * `dockline migrate --to containerd`: the plan, and with --apply its files in a folder of the
 * operator's. Nothing on the node itself is changed: containers do not survive this switch, so the
 * moment is the operator's to choose.
 */
export async function toContainerd(
  options: MigrateOptions,
  engine: DockerEngine,
  print: (text: string) => void,
): Promise<number> {
  const { config, apply } = options;
  const files = {
    certsDir: options.dockerCertsDir,
    credentials: [config.registryAuthFile, "/root/.docker/config.json"].filter(
      (path) => path !== "",
    ),
  };
  const kubelet = await findKubelet(options);
  const [trouble] = kubelet.files.troubles;
  if (trouble !== undefined) throw new Error(trouble);
  const plan = {
    facts: await lookForContainerd(engine, config, files),
    files,
    output: apply ? options.output : undefined,
    sandboxImage: config.podInfraContainerImage,
    dockerEndpoint: config.dockerEndpoint,
    ownEndpoint: config.containerRuntimeEndpoint,
    stateDir: config.stateDir,
    runDir: config.runDir,
    kubeletFlags: options.kubeletFlags,
    kubelet,
  };
  print(`This node:\n${formatFindings(containerdFindings(plan))}`);
  print(
    apply
      ? "\nSteps (the files are written, the rest is yours):\n"
      : "\nSteps (dry run; --apply --output FOLDER writes the files):\n",
  );
  await walkSteps(containerdSteps(plan), { apply, print });
  return 0;
}
