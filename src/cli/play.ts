import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { connect, serviceClient } from "../cri/client.ts";
import type { Connection, ServiceClient } from "../cri/client.ts";
import { errorText } from "../errors.ts";
import { ContainerState, ImageService, RuntimeService } from "../gen/runtime/v1/api_pb.js";
import { endpointOf } from "./arguments.ts";
import { ManifestError } from "./fields.ts";
import { readManifest, volumesRoot } from "./manifest.ts";
import type { PlannedContainer, PlannedPod } from "./manifest-plan.ts";
import { followLog } from "./play-logs.ts";

const usage = `usage: dockline play POD.yaml [--endpoint ENDPOINT] [--detach] [--down]

Runs one Kubernetes Pod manifest through a CRI socket: init containers in order,
sidecars, containers, emptyDir and hostPath volumes, env, ports, resources and
security context. Streams the logs until Ctrl-C or until all containers ended.

  --detach   return when the pod runs
  --down     stop and remove the pod and its emptyDir volumes
  --endpoint where the CRI is served (unix:///run/dockline/dockline.sock)

Exit code: 0 done, 1 the pod failed, 2 the manifest or command line is wrong.

  dockline play deploy/examples/web.yaml --detach
`;

interface Services {
  runtime: ServiceClient<typeof RuntimeService>;
  images: ServiceClient<typeof ImageService>;
  say: (text: string) => void;
}

/** `dockline play`. Exit code 1 when the pod failed, 2 for a manifest or command line we can't take. */
export async function play(args: readonly string[]): Promise<number> {
  const { endpoint, rest, help } = endpointOf(args);
  const flags = rest.filter((argument) => argument.startsWith("--"));
  const files = rest.filter((argument) => !argument.startsWith("--"));
  const unknown = flags.find((flag) => flag !== "--down" && flag !== "--detach");
  const [file] = files;
  if (help || unknown !== undefined || file === undefined || files.length > 1) {
    if (unknown !== undefined) process.stderr.write(`dockline play: unknown option ${unknown}\n`);
    process.stdout.write(usage);
    return help ? 0 : 2;
  }
  let pod: PlannedPod;
  try {
    pod = readManifest(await readFile(file, "utf8"));
  } catch (error) {
    const text = error instanceof ManifestError ? error.message : errorText(error);
    process.stderr.write(`dockline play: ${file}:\n${text.replaceAll(/^/gm, "  ")}\n`);
    return 2;
  }
  const connection: Connection = connect(endpoint);
  const services: Services = {
    runtime: serviceClient(connection, RuntimeService),
    images: serviceClient(connection, ImageService),
    say: (text) => process.stdout.write(`${text}\n`),
  };
  try {
    if (flags.includes("--down")) {
      await down(services, pod);
      return 0;
    }
    return await up(services, pod, flags.includes("--detach"));
  } catch (error) {
    process.stderr.write(`dockline play: ${errorText(error)}\n`);
    return 1;
  } finally {
    connection.close();
  }
}

async function up(services: Services, pod: PlannedPod, detach: boolean): Promise<number> {
  const { runtime, say } = services;
  for (const folder of [...pod.emptyDirs, ...pod.hostFolders, pod.logDirectory]) {
    await mkdir(folder, { recursive: true });
  }
  for (const container of pod.containers) await ensureImage(services, container);
  const { podSandboxId } = await runtime.runPodSandbox({
    config: pod.sandbox,
    runtimeHandler: pod.runtimeHandler,
  });
  const { status } = await runtime.podSandboxStatus({ podSandboxId });
  const ip = status?.network?.ip ?? "";
  say(
    `pod ${pod.namespace}/${pod.name} ${podSandboxId.slice(0, 12)} ip ${ip === "" ? "of the host" : ip}`,
  );

  const stop = new AbortController();
  const follows: Promise<void>[] = [];
  const started: string[] = [];
  for (const container of pod.containers) {
    const id = await start(services, pod, container, podSandboxId, ip);
    follows.push(
      followLog(join(pod.logDirectory, container.name, "0.log"), container.name, say, stop.signal),
    );
    if (container.role !== "init") started.push(id);
    else {
      const code = await untilExited(services, id);
      say(`init container ${container.name} ended with ${code}`);
      if (code !== 0) {
        stop.abort();
        await Promise.all(follows);
        return 1;
      }
    }
  }
  if (!detach) {
    process.once("SIGINT", () => stop.abort());
    process.once("SIGTERM", () => stop.abort());
    await Promise.all(started.map((id) => untilExited(services, id, stop.signal)));
  }
  stop.abort();
  await Promise.all(follows);
  say(detach ? "running" : "the pod is left as it is; --down removes it");
  return 0;
}

async function ensureImage(services: Services, container: PlannedContainer): Promise<void> {
  const image = { image: container.image };
  const { image: present } = await services.images.imageStatus({ image });
  if (container.pull === "Always" || (present === undefined && container.pull !== "Never")) {
    services.say(`pulling ${container.image}`);
    await services.images.pullImage({ image });
  } else if (present === undefined) {
    throw new Error(`image ${container.image} is not here and imagePullPolicy is Never`);
  }
}

async function start(
  services: Services,
  pod: PlannedPod,
  container: PlannedContainer,
  podSandboxId: string,
  ip: string,
): Promise<string> {
  const { images, runtime, say } = services;
  const { image } = await images.imageStatus({ image: { image: container.image } });
  const { containerId } = await runtime.createContainer({
    podSandboxId,
    sandboxConfig: pod.sandbox,
    config: {
      ...container.config,
      // As the kubelet does: by id, with the manifest's words beside it.
      image: { image: image?.id ?? container.image, userSpecifiedImage: container.image },
      envs: [
        ...(container.config.envs ?? []),
        ...container.lateEnvironment.map(({ name }) => ({ key: name, value: Buffer.from(ip) })),
      ],
    },
  });
  await runtime.startContainer({ containerId });
  say(`${container.role} container ${container.name} ${containerId.slice(0, 12)} started`);
  return containerId;
}

/** Polls: a stream of events is more than a person waiting for one pod needs. */
async function untilExited(
  services: Services,
  containerId: string,
  signal?: AbortSignal,
): Promise<number> {
  while (signal?.aborted !== true) {
    const { status } = await services.runtime.containerStatus({ containerId });
    if (status?.state === ContainerState.CONTAINER_EXITED) return status.exitCode;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return 0;
}

async function down(services: Services, pod: PlannedPod): Promise<void> {
  const { items } = await services.runtime.listPodSandbox({
    filter: { labelSelector: { "io.kubernetes.pod.uid": pod.uid } },
  });
  for (const { id } of items) {
    await services.runtime.stopPodSandbox({ podSandboxId: id });
    await services.runtime.removePodSandbox({ podSandboxId: id });
    services.say(`removed pod ${pod.namespace}/${pod.name} ${id.slice(0, 12)}`);
  }
  if (items.length === 0) services.say(`pod ${pod.namespace}/${pod.name} is not there`);
  await rm(join(volumesRoot, pod.uid), { recursive: true, force: true });
  await rm(pod.logDirectory, { recursive: true, force: true });
}
