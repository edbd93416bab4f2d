import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Places, PodSpec } from "./cri-dockerd-pod.ts";

type Json = Record<string, unknown>;

/** ADD by the plugins themselves, as libcni calls them, and the library's two cache files. */
export function addNetwork(places: Places, pod: PodSpec, id: string, pid: number): string {
  const config = readFileSync(places.confFile, "utf8");
  const { cniVersion, name, plugins } = JSON.parse(config) as {
    cniVersion: string;
    name: string;
    plugins: (Json & { type: string; capabilities?: Record<string, boolean> })[];
  };
  const netns = `/proc/${pid}/ns/net`;
  const args: [string, string][] = [
    ["IgnoreUnknown", "1"],
    ["K8S_POD_NAMESPACE", pod.namespace],
    ["K8S_POD_NAME", pod.name],
    ["K8S_POD_INFRA_CONTAINER_ID", id],
  ];
  const portMappings =
    pod.hostPort === undefined
      ? []
      : [{ hostPort: pod.hostPort, containerPort: 8080, protocol: "tcp", hostIP: "" }];
  const capabilityArgs = { ipRanges: [[{ subnet: "" }]], portMappings };
  let result: Json | undefined;
  for (const { capabilities, ...plugin } of plugins) {
    const runtimeConfig =
      capabilities?.["portMappings"] === true ? { runtimeConfig: { portMappings } } : {};
    const input = {
      ...plugin,
      cniVersion,
      name,
      ...runtimeConfig,
      ...(result === undefined ? {} : { prevResult: result }),
    };
    const folder = "/usr/lib/cni";
    const output = execFileSync(join(folder, plugin.type), {
      input: JSON.stringify(input),
      encoding: "utf8",
      env: {
        PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`,
        CNI_COMMAND: "ADD",
        CNI_CONTAINERID: id,
        CNI_NETNS: netns,
        CNI_IFNAME: "eth0",
        CNI_PATH: folder,
        CNI_ARGS: args.map((pair) => pair.join("=")).join(";"),
      },
    });
    result = JSON.parse(output) as Json;
  }
  const cached = (networkName: string, text: string, networkResult: unknown): void => {
    const folder = join(places.cniCache, "results");
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      join(folder, `${networkName}-${id}-eth0`),
      JSON.stringify({
        kind: "cniCacheV1",
        containerId: id,
        config: Buffer.from(text).toString("base64"),
        ifName: "eth0",
        networkName,
        cniArgs: args,
        capabilityArgs,
        result: networkResult,
      }),
    );
  };
  cached(name, config, result);
  const loopback = { cniVersion: "0.2.0", name: "cni-loopback", plugins: [{ type: "loopback" }] };
  cached("cni-loopback", JSON.stringify(loopback), { cniVersion: "0.2.0", dns: {} });
  const [address] = (result?.["ips"] ?? []) as { address: string }[];
  return address?.address.split("/")[0] ?? "";
}
