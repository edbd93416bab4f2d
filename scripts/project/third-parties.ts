import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../bundle.ts";

/** Software by others that is distributed with Dockline or installed for it at run time. */
export interface ThirdParty {
  name: string;
  version: string;
  /** An SPDX expression. */
  licence: string;
  /** Where it ends up, for a reader of NOTICE. */
  use: string;
  homepage?: string;
}

interface Manifest {
  license?: string;
  /** The field's old form; some packages still have nothing else. */
  licenses?: { type: string }[];
}

interface Locked {
  version: string;
  license?: string;
  dev?: boolean;
  link?: boolean;
}

/**
 * The npm packages that are not for development alone, sorted by name and version. A package for
 * another processor is not installed here, so its licence comes from the lockfile.
 *
 * @throws Error when a package names no licence
 */
export function npmPackages(): ThirdParty[] {
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, Locked>;
  };
  const found = Object.entries(packages)
    .filter(([path, { dev, link }]) => path !== "" && dev !== true && link !== true)
    .map(([path, { version, license }]) => {
      const name = path.replace(/^.*node_modules\//, "");
      const licence = licenceOf(join(root, path, "package.json")) ?? license;
      if (licence === undefined) throw new Error(`${name} ${version} names no licence`);
      return { name, version, licence: licence.replace(/^\((.*)\)$/, "$1"), use: "npm package" };
    });
  const distinct = new Map(found.map((one) => [`${one.name}@${one.version}`, one]));
  return [...distinct.values()].sort(byName);
}

function licenceOf(manifest: string): string | undefined {
  if (!existsSync(manifest)) return undefined;
  const { license, licenses } = JSON.parse(readFileSync(manifest, "utf8")) as Manifest;
  return license ?? licenses?.map(({ type }) => type).join(" OR ");
}

/**
 * What is not an npm package: the vendored source, the library that the native programs are linked
 * with, and the interface definitions.
 *
 * @throws Error when a source no longer says its version where it is looked for
 */
export function otherParts(): ThirdParty[] {
  return [
    {
      name: "yyjson",
      version: versionIn("deploy/oci/vendor/yyjson/yyjson.h", /VERSION_STRING "([\d.]+)"/),
      licence: "MIT",
      use: "source in deploy/oci/vendor, part of dockline-oci",
      homepage: "https://github.com/ibireme/yyjson",
    },
    {
      name: "musl",
      version: versionIn("deploy/oci/build", /Debian 12's (\d[\d.]+)-\d+ gives/),
      licence: "MIT",
      use: "linked into dockline-oci",
      homepage: "https://musl.libc.org",
    },
    {
      name: "libgcc",
      version: versionIn("deploy/oci/build", /Debian 12's gcc ([\d.]+) gives/),
      licence: "GPL-3.0-or-later WITH GCC-exception-3.1",
      use: "linked into dockline-oci",
      homepage: "https://gcc.gnu.org",
    },
    {
      name: "Kubernetes CRI API",
      version: versionIn("proto/runtime/v1/api.proto", /kubelet of Kubernetes ([\d.]+)/),
      licence: "Apache-2.0",
      use: "names, numbers and types in proto/runtime",
      homepage: "https://github.com/kubernetes/cri-api",
    },
    {
      name: "containerd API",
      version: "1",
      licence: "Apache-2.0",
      use: "the part of its services in proto/containerd",
      homepage: "https://github.com/containerd/containerd",
    },
    {
      name: "Node Resource Interface (NRI)",
      version: versionIn("proto/nri/v1alpha1/api.proto", /Go module v([\d.]+)/),
      licence: "Apache-2.0",
      use: "names, numbers and types in proto/nri, with those of ttrpc",
      homepage: "https://github.com/containerd/nri",
    },
  ];
}

function versionIn(path: string, pattern: RegExp): string {
  const version = pattern.exec(readFileSync(join(root, path), "utf8"))?.[1];
  if (version === undefined) throw new Error(`${path} does not match ${String(pattern)}`);
  return version;
}

function byName(a: ThirdParty, b: ThirdParty): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.version < b.version ? -1 : 1;
}
