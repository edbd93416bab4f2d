import { errorText } from "../../errors.ts";
import { socketPathOf } from "../../engine/endpoint.ts";
import { isErrno, readTextIfExists } from "../../sys/fs.ts";
import { argumentOf, findDockerd } from "../dockerd-process.ts";
import type { DaemonFacts } from "./facts.ts";

/** daemon.json, by the dockerd that serves the socket unless `given`, and its command line. */
export async function readDaemon(
  endpoint: string,
  given: string | undefined,
): Promise<DaemonFacts> {
  const dockerd = findDockerd(socketPathOf(endpoint));
  const own = dockerd === undefined ? undefined : argumentOf(dockerd, "--config-file");
  const path = given ?? own ?? "/etc/docker/daemon.json";
  const args = dockerd?.arguments ?? [];
  const { settings, trouble } = await readSettings(path);
  const listed = Array.isArray(settings["hosts"]) ? settings["hosts"].map(String) : [];
  const argument = dockerd === undefined ? undefined : argumentOf(dockerd, "--data-root");
  const dataRoot = argument ?? settings["data-root"];
  return {
    path,
    settings,
    ...(trouble === undefined ? {} : { trouble }),
    hosts: [...hostsOf(args), ...listed],
    ...(hasNri(settings, args) ? { nri: true as const } : {}),
    dataRoot: typeof dataRoot === "string" ? dataRoot : "/var/lib/docker",
    tlsVerify:
      settings["tlsverify"] === true ||
      args.some((argument) => /^--tlsverify(?:=true)?$/.test(argument)),
  };
}

/** By its file, or by `--nri-opts=enable=true,…` in one word or two. */
function hasNri(settings: Readonly<Record<string, unknown>>, args: readonly string[]): boolean {
  const options = settings["nri-opts"] as { enable?: unknown } | null | undefined;
  if (options?.enable === true) return true;
  return args.some((argument, at) => {
    const text = argument === "--nri-opts" ? args[at + 1] : /^--nri-opts=(.*)$/.exec(argument)?.[1];
    return text?.split(",").some((one) => /^enable(?:=(?:true|1))?$/.test(one)) === true;
  });
}

async function readSettings(
  path: string,
): Promise<{ settings: Record<string, unknown>; trouble?: string }> {
  try {
    const text = (await readTextIfExists(path)) ?? "";
    if (text.trim() === "") return { settings: {} };
    const parsed: unknown = JSON.parse(text.replace(/^\uFEFF/, ""));
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
      return { settings: {}, trouble: "it is no JSON object" };
    }
    return { settings: parsed as Record<string, unknown> };
  } catch (error) {
    // Not to be read by us is not broken; that we are not root is reported elsewhere.
    if (isErrno(error, "EACCES", "EPERM")) return { settings: {} };
    return { settings: {}, trouble: errorText(error) };
  }
}

/** Values of -H and --host, which may be given several times. */
export function hostsOf(args: readonly string[]): string[] {
  return args.flatMap((argument, at) => {
    if (argument === "-H" || argument === "--host") return args[at + 1] ?? [];
    const match = /^(?:--host=|-H=?)(.+)$/.exec(argument);
    return match?.[1] ?? [];
  });
}
