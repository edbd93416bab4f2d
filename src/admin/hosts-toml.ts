/** One address that an image of a registry is looked for at. */
export interface RegistryAddress {
  /** host[:port], and a path where the mirror keeps the registry's images below one. */
  readonly name: string;
  /** Docker takes any certificate of it, or none at all. */
  readonly insecure: boolean;
}

/** What containerd keeps of a registry in `certs.d/<host>/hosts.toml`. */
export interface RegistryHosts {
  /** As in image names: "docker.io", "quay.io", "10.0.0.1:5000". */
  readonly registry: string;
  readonly insecure: boolean;
  /** In the order in which they are tried. */
  readonly mirrors: readonly RegistryAddress[];
  /** Files beside hosts.toml, by their names. */
  readonly ca: readonly string[];
  readonly client: readonly { readonly cert: string; readonly key: string }[];
}

/** Where containerd will have the file: its names of other files are absolute. */
const certsDir = "/etc/containerd/certs.d";

/**
 * containerd's form of what Docker has in `registry-mirrors`, `insecure-registries` and
 * `/etc/docker/certs.d`. Docker's "insecure" is HTTPS with any certificate, else HTTP: two addresses
 * here, in that order.
 */
export function toHostsToml(hosts: RegistryHosts): string {
  const own = hosts.registry === "docker.io" ? "registry-1.docker.io" : hosts.registry;
  const folder = `${certsDir}/${hosts.registry}`;
  const files = [
    ...(hosts.ca.length === 0
      ? []
      : [`ca = ${list(hosts.ca.map((file) => quote(`${folder}/${file}`)))}`]),
    ...(hosts.client.length === 0
      ? []
      : [
          `client = ${list(
            hosts.client.map(({ cert, key }) =>
              list([quote(`${folder}/${cert}`), quote(`${folder}/${key}`)]),
            ),
          )}`,
        ]),
  ];
  const lines = [`server = ${quote(`${hosts.insecure ? "http" : "https"}://${own}`)}`];
  for (const mirror of hosts.mirrors) lines.push("", ...address(mirror, []));
  // Its own address only where there is something to say of it.
  if (hosts.insecure || files.length > 0) {
    lines.push("", ...address({ name: own, insecure: hosts.insecure }, files));
  }
  return `${lines.join("\n")}\n`;
}

function address({ name, insecure }: RegistryAddress, files: readonly string[]): string[] {
  const slash = name.indexOf("/");
  const host = slash < 0 ? name : name.slice(0, slash);
  // With a path of its own the address has to hold the API's prefix as well.
  const path = slash < 0 ? "" : `/v2${name.slice(slash)}`;
  const one = (scheme: string, more: readonly string[]): string[] => [
    `[host.${quote(`${scheme}://${host}${path}`)}]`,
    '  capabilities = ["pull", "resolve"]',
    ...(path === "" ? [] : ["  override_path = true"]),
    ...more.map((line) => `  ${line}`),
  ];
  const secure = one("https", [...(insecure ? ["skip_verify = true"] : []), ...files]);
  return insecure ? [...secure, "", ...one("http", [])] : secure;
}

export interface ContainerdConfig {
  /** Of the file's form: 3 is of containerd 2.x, 2 of 1.x. */
  readonly version: 2 | 3;
  readonly sandboxImage: string;
  readonly systemdCgroup: boolean;
  /** OCI runtimes besides runc, by handler. */
  readonly runtimes: readonly { readonly handler: string; readonly path: string }[];
  readonly credentials: readonly {
    readonly registry: string;
    readonly username?: string | undefined;
    readonly password?: string | undefined;
    readonly identitytoken?: string | undefined;
  }[];
}

/** Where the two versions have images and runtimes. */
const tables = {
  2: {
    images: 'plugins."io.containerd.grpc.v1.cri"',
    runtime: 'plugins."io.containerd.grpc.v1.cri"',
  },
  3: {
    images: 'plugins."io.containerd.cri.v1.images"',
    runtime: 'plugins."io.containerd.cri.v1.runtime"',
  },
};

/** The members of containerd's config.toml that matter. */
export function toContainerdConfig(config: ContainerdConfig): string {
  const { images, runtime } = tables[config.version];
  const sandboxImage = quote(config.sandboxImage);
  const lines = [
    `version = ${config.version}`,
    "",
    ...(config.version === 2
      ? [`[${images}]`, `  sandbox_image = ${sandboxImage}`]
      : [`[${images}.pinned_images]`, `  sandbox = ${sandboxImage}`]),
    "",
    `[${images}.registry]`,
    `  config_path = ${quote(certsDir)}`,
  ];
  for (const { registry, ...secret } of config.credentials) {
    const host = registry === "docker.io" ? "registry-1.docker.io" : registry;
    lines.push("", `[${images}.registry.configs.${quote(host)}.auth]`);
    for (const [key, value] of Object.entries(secret)) {
      if (value !== undefined) lines.push(`  ${key} = ${quote(value)}`);
    }
  }
  for (const { handler, path } of [{ handler: "runc", path: "" }, ...config.runtimes]) {
    const section = `${runtime}.containerd.runtimes.${quote(handler)}`;
    lines.push(
      "",
      `[${section}]`,
      '  runtime_type = "io.containerd.runc.v2"',
      `[${section}.options]`,
      `  SystemdCgroup = ${config.systemdCgroup}`,
      ...(path === "" ? [] : [`  BinaryName = ${quote(path)}`]),
    );
  }
  return `${lines.join("\n")}\n`;
}

/** A basic string of TOML: JSON's escapes are all among its own, DEL alone is not one of JSON's. */
const quote = (text: string): string => JSON.stringify(text).replaceAll("\u007f", "\\u007f");
const list = (items: readonly string[]): string => `[${items.join(", ")}]`;
