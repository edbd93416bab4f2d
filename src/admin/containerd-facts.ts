import { readFile } from "node:fs/promises";
import { BlockList, isIP } from "node:net";
import { join } from "node:path";
import type { Config } from "../config/options.ts";
import { credentialsIn, registriesIn } from "../convert/docker-config.ts";
import type { ContainerdConfig, RegistryHosts } from "./hosts-toml.ts";
import { normalizeListed } from "../convert/image-ref.ts";
import { readIdentity } from "../convert/labels.ts";
import { parseMirrors } from "../convert/mirrors.ts";
import { originOf, usesContainerdStore } from "../convert/pinned.ts";
import type { ImageStoreFacts } from "../convert/pinned.ts";
import type { DockerEngine } from "../engine/docker-engine.ts";
import type { EngineInfo } from "../engine/types.ts";
import { errorText } from "../errors.ts";
import { isErrno } from "../sys/fs.ts";
import { listIfThere } from "./migrate-node.ts";

/** Files of Docker and of the kubelet that containerd will not read. */
export interface DockerFiles {
  /** /etc/docker/certs.d */
  certsDir: string;
  /** In the form of docker's config.json; the first that has a registry counts. */
  credentials: readonly string[];
}

export interface MovedImage {
  names: string[];
  bytes: number;
  /** No registry is known to have it: only this node can give it. */
  onlyHere: boolean;
}

/** Something of a pod that will not work as it is. */
export interface PodTrouble {
  pod: string;
  why: string;
}

export interface ContainerdFacts {
  info: EngineInfo;
  /** Of the containerd that Docker runs on; undefined where it does not tell. */
  containerdVersion: string | undefined;
  images: MovedImage[];
  registries: RegistryHosts[];
  /** Files to be copied beside hosts.toml: registry → names. */
  certificates: { registry: string; files: string[] }[];
  credentials: ContainerdConfig["credentials"];
  credentialProblems: string[];
  troubles: PodTrouble[];
  podCount: number;
}

type RegistryConfig = NonNullable<EngineInfo["RegistryConfig"]> & {
  InsecureRegistryCIDRs?: string[] | null;
};

/** Programs that build images with the engine beside them. */
const builder =
  /(?:^|\/)(?:docker|dind|buildx|buildkit|buildah|img|jenkins[^/:]*|gitlab-runner)(?:[:@-]|$)/;

/** Asks the engine and reads files; nothing is changed. */
export async function lookForContainerd(
  engine: DockerEngine,
  config: Config,
  files: DockerFiles,
): Promise<ContainerdFacts> {
  const info = await engine.info();
  const registry: RegistryConfig = info.RegistryConfig ?? {};
  const { credentials, credentialProblems } = await readCredentials(files.credentials);
  const certificates = listIfThere(files.certsDir).map((host) => ({
    registry: host,
    files: listIfThere(join(files.certsDir, host)).sort(),
  }));
  const { Components = [] } = await engine.version();
  const containerd = Components.find(({ Name }) => Name === "containerd");
  return {
    info,
    containerdVersion: containerd?.Version.replace(/^v/, ""),
    images: await images(engine, {
      containerdStore: usesContainerdStore(info),
      apiMinor: engine.connection.apiVersion?.[1] ?? 0,
    }),
    registries: registries(config, registry, certificates),
    certificates,
    credentials,
    credentialProblems,
    ...(await pods(engine)),
  };
}

async function images(engine: DockerEngine, store: ImageStoreFacts): Promise<MovedImage[]> {
  const found: MovedImage[] = [];
  for (const { Id, RepoTags, RepoDigests, Size } of await engine.listImages()) {
    const named = (names: string[] | null): string[] =>
      (names ?? []).filter((name) => !name.includes("<none>")).map(normalizeListed);
    const tags = named(RepoTags).filter((name) => !name.includes("@"));
    const digests = named(RepoDigests);
    const inspect = await engine.inspectImage(Id);
    // Without a name containerd's garbage collection takes it at once.
    if (tags.length + digests.length === 0) continue;
    const names = tags.length > 0 ? tags : digests;
    const onlyHere =
      originOf({ inspect, repoTags: names, repoDigests: digests }, store) === "local";
    found.push({ names, bytes: Size, onlyHere });
  }
  return found.sort((a, b) => ((a.names[0] ?? "") < (b.names[0] ?? "") ? -1 : 1));
}

function registries(
  config: Config,
  { IndexConfigs, InsecureRegistryCIDRs, Mirrors }: RegistryConfig,
  certificates: ContainerdFacts["certificates"],
): RegistryHosts[] {
  const open = new BlockList();
  for (const range of InsecureRegistryCIDRs ?? []) {
    const [address = "", bits = ""] = range.split("/");
    if (isIP(address) !== 0) {
      open.addSubnet(address, Number(bits), isIP(address) === 4 ? "ipv4" : "ipv6");
    }
  }
  const named = Object.entries(IndexConfigs ?? {});
  const marked = new Set(
    named
      .filter(([, index]) => (index as { Secure?: boolean } | null)?.Secure === false)
      .map(([host]) => host),
  );
  const insecure = (name: string): boolean => {
    const host = name.split("/", 1)[0] ?? "";
    const address = host.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
    if (marked.has(host)) return true;
    return isIP(address) !== 0 && open.check(address, isIP(address) === 4 ? "ipv4" : "ipv6");
  };
  const mirrors = new Map(parseMirrors(config.registryMirrors));
  const hub = (Mirrors ?? []).map((url) => url.replace(/^https?:\/\//, "").replace(/\/+$/, ""));
  const plain = new Set(
    (Mirrors ?? [])
      .filter((url) => url.startsWith("http://"))
      .map((url) => url.replace(/^http:\/\//, "").replace(/\/+$/, "")),
  );
  if (hub.length > 0) mirrors.set("docker.io", hub);
  const names = new Set([
    ...mirrors.keys(),
    ...marked,
    ...certificates.map(({ registry }) => registry),
  ]);
  return [...names].sort().map((name) => {
    const files = certificates.find(({ registry }) => registry === name)?.files ?? [];
    const certs = files.filter((file) => file.endsWith(".cert"));
    return {
      registry: name,
      insecure: insecure(name),
      mirrors: (mirrors.get(name) ?? []).map((mirror) => ({
        name: mirror,
        insecure: plain.has(mirror) || insecure(mirror),
      })),
      ca: files.filter((file) => file.endsWith(".crt")),
      client: certs
        .map((cert) => ({ cert, key: cert.replace(/\.cert$/, ".key") }))
        .filter(({ key }) => files.includes(key)),
    };
  });
}

async function readCredentials(
  paths: readonly string[],
): Promise<Pick<ContainerdFacts, "credentials" | "credentialProblems">> {
  const credentials = new Map<string, ContainerdConfig["credentials"][number]>();
  const credentialProblems: string[] = [];
  for (const path of paths) {
    try {
      const text = await readFile(path, "utf8");
      for (const registry of registriesIn(text)) {
        const host = registry.split("/", 1)[0] ?? "";
        const auth = credentialsIn(text, `${registry}/x`);
        if (auth === undefined || credentials.has(host)) continue;
        const { username, password, identitytoken } = auth;
        credentials.set(host, { registry: host, username, password, identitytoken });
      }
    } catch (error) {
      if (!isErrno(error, "ENOENT")) credentialProblems.push(`${path}: ${errorText(error)}`);
    }
  }
  return { credentials: [...credentials.values()], credentialProblems };
}

async function pods(engine: DockerEngine): Promise<Pick<ContainerdFacts, "troubles" | "podCount">> {
  const troubles = new Map<string, PodTrouble>();
  const sandboxes = new Set<string>();
  const add = (pod: string, why: string): void => void troubles.set(`${pod} ${why}`, { pod, why });
  for (const { Id, Names, Labels, Image } of await engine.listContainers([])) {
    const identity = readIdentity({ name: Names[0] ?? "", labels: Labels });
    const pod =
      identity === undefined
        ? `container ${(Names[0] ?? Id).replace(/^\//, "")} (no pod: it stays with Docker)`
        : podName(identity);
    if (identity?.kind === "podsandbox") sandboxes.add(Id);
    const { HostConfig, Mounts, Config } = await engine.inspectContainer(Id);
    const sources = (Mounts ?? []).map(({ Source }) => Source);
    const socket = sources.find((source) => /(?:^|\/)docker\.sock$/.test(source));
    if (socket !== undefined) add(pod, `mounts ${socket}`);
    const folder = sources.find((source) => /^\/(?:var\/)?run\/?$|^\/$/.test(source));
    if (folder !== undefined) add(pod, `mounts ${folder}, where docker.sock is`);
    if (sources.some((source) => source.startsWith("/var/lib/docker"))) {
      add(pod, "mounts a folder of /var/lib/docker (log agents do)");
    }
    if (builder.test(Config.Image) || builder.test(Image)) {
      add(pod, `seems to build images (${Config.Image}): it needs a builder of its own`);
    }
    if (HostConfig.LogConfig !== undefined && identity !== undefined) {
      if (identity.legacy)
        add(pod, "has its log as a link to Docker's file; new pods get CRI files");
    }
  }
  return { troubles: [...troubles.values()], podCount: sandboxes.size };
}

function podName(identity: NonNullable<ReturnType<typeof readIdentity>>): string {
  const of = identity.kind === "container" ? identity.podSandboxMetadata : identity.metadata;
  return `pod ${of.namespace}/${of.name}`;
}
