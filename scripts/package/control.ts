import type { Architecture } from "./node-binary.ts";

/** Semantic versions sort as Debian's do once the part before a release is marked. */
export const debianVersion = (version: string): string => version.replace("-", "~");

/** The same for rpm, which takes no hyphen at all. */
export const rpmVersion = (version: string): string => debianVersion(version).replaceAll("-", ".");

/** DEBIAN/control. */
export function control(version: string, architecture: Architecture, installedKib: number): string {
  const fields: [string, string][] = [
    ["Package", "dockline"],
    ["Version", debianVersion(version)],
    ["Architecture", architecture],
    ["Maintainer", "The Dockline maintainers <maintainers@dockline.invalid>"],
    ["Installed-Size", String(installedKib)],
    // What the private Node is linked with: the oldest that have its symbols.
    [
      "Depends",
      "libc6 (>= 2.28), libstdc++6 (>= 7), libgcc-s1 | libgcc1, util-linux, init-system-helpers (>= 1.54)",
    ],
    [
      "Recommends",
      "docker-ce | docker.io | moby-engine, containernetworking-plugins | kubernetes-cni, iptables",
    ],
    ["Suggests", "cri-tools, kubelet"],
    ["Section", "admin"],
    ["Priority", "optional"],
    [
      "Description",
      [
        "CRI runtime for Kubernetes nodes that run Docker Engine",
        " Dockline serves the Container Runtime Interface to the kubelet and runs pods",
        " with Docker Engine and CNI plugins. It takes over nodes from cri-dockerd and",
        " dockershim without restarting a pod.",
      ].join("\n"),
    ],
  ];
  return `${fields.map(([name, value]) => `${name}: ${value}`).join("\n")}\n`;
}
