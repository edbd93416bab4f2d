import { networkInterfaces } from "node:os";
import type { PlannedPod } from "./plan.ts";
import type { PlayServices } from "./services.ts";

/** A pod's addresses, the first one first; in the host's network that of the host. */
export async function addressesOf(
  { runtime }: Pick<PlayServices, "runtime">,
  { hostNetwork }: Pick<PlannedPod, "hostNetwork">,
  podSandboxId: string,
): Promise<string[]> {
  if (hostNetwork) return [nodeAddress()];
  const { status } = await runtime.podSandboxStatus({ podSandboxId });
  const { ip = "", additionalIps = [] } = status?.network ?? {};
  return [ip, ...additionalIps.map((more) => more.ip)].filter((address) => address !== "");
}

/** The address of the host's first network. */
function nodeAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((found) => found ?? []);
  const outside = addresses.filter(({ internal }) => !internal);
  return (outside.find(({ family }) => family === "IPv4") ?? outside[0])?.address ?? "127.0.0.1";
}
