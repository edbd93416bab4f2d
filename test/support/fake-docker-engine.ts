import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { extract, pack } from "tar-stream";
import type { Engine, RequestOptions } from "../../src/engine/engine.ts";
import { EngineError } from "../../src/engine/errors.ts";
import type { FakeDocker } from "./fake-docker.ts";
import { lost, refuse } from "./fake-errors.ts";

/** The Engine interface straight on a FakeDocker: no sockets, a few microtasks for each call. */
export function fakeDockerAsEngine(docker: FakeDocker): Engine {
  let contacted = false;

  const call = async <T>(
    method: keyof Engine,
    subject: string,
    options: RequestOptions | undefined,
    effect: () => T | Promise<T>,
  ): Promise<T> => {
    docker.requests.set(method, (docker.requests.get(method) ?? 0) + 1);
    const work = async (): Promise<T> => {
      // A request takes a moment: nothing has happened yet when the caller gets its promise.
      await Promise.resolve();
      failIfAway(docker, method);
      await docker.hooks.before?.({ method, subject });
      failIfAway(docker, method);
      const result = await effect();
      await docker.hooks.after?.({ method, subject });
      return result;
    };
    try {
      const result = await limited(method, work(), options);
      contacted = true;
      return result;
    } catch (error) {
      if (error instanceof EngineError && error.failure === "unreachable") contacted = false;
      throw error;
    }
  };

  return {
    get connection() {
      return { apiVersion: contacted ? docker.apiVersion : undefined };
    },
    supports: (minor) => contacted && docker.apiVersion[1] >= minor,
    ping: (options) => call("ping", "", options, () => undefined),
    version: (options) =>
      call("version", "", options, () => ({
        Version: "28.0.0-fake",
        ApiVersion: docker.apiVersion.join("."),
        MinAPIVersion: "1.24",
        Os: "linux",
        Arch: "amd64",
        KernelVersion: "6.1.0",
        Components: [{ Name: "Engine", Version: "28.0.0-fake" }],
      })),
    info: (options) =>
      call("info", "", options, () => ({
        ID: "fake",
        ServerVersion: "28.0.0-fake",
        Driver: "overlay2",
        DriverStatus: null,
        DockerRootDir: docker.dockerRoot,
        CgroupDriver: "cgroupfs",
        CgroupVersion: "2",
        KernelVersion: "6.1.0",
        OperatingSystem: "Fake",
        Architecture: "x86_64",
        NCPU: 2,
        MemTotal: 4 << 30,
        LoggingDriver: "json-file",
        LiveRestoreEnabled: false,
        SecurityOptions: ["name=seccomp,profile=builtin"],
        DefaultRuntime: "runc",
        Runtimes: { runc: { path: "runc" } },
        Warnings: null,
      })),
    diskUsage: (options) =>
      call("diskUsage", "", options, () => ({
        LayersSize: docker.images.list().reduce((sum, image) => sum + image.Size, 0),
      })),

    createContainer: (name, body, options) =>
      call("createContainer", name, options, () => ({
        id: docker.create(name, body).id,
        warnings: [],
      })),
    startContainer: (id, options) => call("startContainer", id, options, () => docker.start(id)),
    stopContainer: (id, grace, options) =>
      call("stopContainer", id, options, () => docker.stop(id, grace)),
    killContainer: (id, signal, options) =>
      call("killContainer", id, options, () => docker.kill(id, signal)),
    removeContainer: (id, options) =>
      call("removeContainer", id, options, () => docker.remove(id, { force: true })),
    inspectContainer: (id, options) =>
      call("inspectContainer", id, options, () => docker.inspect(id)),
    listContainers: (labels, options) =>
      call("listContainers", labels.join(","), options, () => docker.list(labels)),
    updateContainer: (id, resources, options) =>
      call("updateContainer", id, options, () => docker.update(id, resources)),
    resizeContainer: (id) =>
      call("resizeContainer", id, undefined, () => void docker.get(id, "resize container")),
    attachContainer: (id, options) =>
      call("attachContainer", id, options, () => {
        const container = docker.get(id, "attach container");
        return docker.execs.attach(container).client;
      }),
    readArchive: (id, path, options) =>
      call("readArchive", id, options, () => {
        const file = docker.get(id, "read container file").files.get(path);
        if (file === undefined) {
          throw refuse(
            404,
            "read container file",
            `Could not find the file ${path} in container ${id}`,
          );
        }
        const archive = pack();
        archive.entry({ name: path.slice(path.lastIndexOf("/") + 1) }, file);
        archive.finalize();
        return Readable.from(archive);
      }),

    createExec: (id, body, options) =>
      call("createExec", id, options, () => docker.execs.create(id, body)),
    startExec: (id, _tty, options) =>
      call("startExec", id, options, () => docker.execs.start(id).client),
    inspectExec: (id, options) => call("inspectExec", id, options, () => docker.execs.inspect(id)),
    resizeExec: (id) => call("resizeExec", id, undefined, () => docker.execs.resize(id)),

    listImages: (options) => call("listImages", "", options, () => docker.images.list()),
    inspectImage: (reference, options) =>
      call("inspectImage", reference, options, () => docker.images.inspect(reference)),
    pullImage: async function* (options) {
      const separator = options.tagOrDigest.includes(":") ? "@" : ":";
      const reference = `${options.repository}${separator}${options.tagOrDigest}`;
      const found = await call("pullImage", reference, options, () =>
        docker.images.pull(reference),
      );
      yield { status: `Pulling from ${options.repository}`, id: options.tagOrDigest };
      if (!found) throw refuse(404, "pull image", `manifest for ${reference} not found`);
      yield { status: `Status: Downloaded newer image for ${reference}` };
    },
    tagImage: (reference, repository, tag) =>
      call("tagImage", reference, undefined, () => docker.images.tag(reference, repository, tag)),
    removeImage: (reference, options) =>
      call("removeImage", reference, options, () =>
        docker.images.remove(reference, {
          force: options?.force ?? false,
          users: (image) =>
            [...docker.containers.values()].filter((c) => c.image === image).map((c) => c.id),
        }),
      ),
    saveImage: (reference, options) =>
      call("saveImage", reference, options, () => {
        throw refuse(500, "save image", "the fake engine keeps no layers");
      }),
    loadImage: (archive, options) =>
      call("loadImage", "", options, () => loadArchive(docker, archive)),

    events: async function* (filters, options) {
      const subscribing = { signal: options.signal };
      await call("events", "", subscribing, () => undefined);
      yield* docker.events.follow(filters, options);
    },
  };
}

function failIfAway(docker: FakeDocker, method: string): void {
  if (!docker.reachable) throw lost(method);
}

/** The caller's deadline and signal, for requests that a hook holds back. */
async function limited<T>(
  operation: string,
  work: Promise<T>,
  options: RequestOptions | undefined,
): Promise<T> {
  const { signal, timeoutMs } = options ?? {};
  if (signal === undefined && timeoutMs === undefined) return await work;
  work.catch(() => undefined);
  return await new Promise<T>((resolve, reject) => {
    const stop = (failure: "aborted" | "timeout"): void =>
      reject(new EngineError({ failure, operation, message: `${operation}: ${failure}` }));
    const onAbort = (): void => stop("aborted");
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener("abort", onAbort);
    const timer =
      timeoutMs === undefined ? undefined : setTimeout(() => stop("timeout"), timeoutMs);
    work.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    });
  });
}

/** Reads what `docker save` writes: each manifest entry with its tags becomes an image. */
async function loadArchive(docker: FakeDocker, archive: Readable): Promise<void> {
  const files = new Map<string, string>();
  for await (const entry of archive.pipe(extract())) {
    const { name } = entry.header;
    if (name.endsWith(".json")) files.set(name, await text(entry));
    else entry.resume();
  }
  const manifest = JSON.parse(files.get("manifest.json") ?? "null") as
    { Config: string; RepoTags?: string[] | null }[] | null;
  if (manifest === null) throw refuse(500, "load image", "invalid archive: no manifest.json");
  for (const { Config, RepoTags } of manifest) {
    const config = JSON.parse(files.get(Config) ?? "{}") as {
      config?: { Labels?: Record<string, string>; User?: string };
    };
    docker.images.add({
      references: RepoTags ?? [],
      labels: config.config?.Labels ?? {},
      user: config.config?.User ?? "",
    });
  }
}
