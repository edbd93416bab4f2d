import { callErrorText } from "../cri/call-error.ts";
import { connect, serviceClient } from "../cri/client.ts";
import type { ServiceClient } from "../cri/client.ts";
import { PodSandboxState, RuntimeService } from "../gen/runtime/v1/api_pb.js";
import type { PodSandbox } from "../gen/runtime/v1/api_pb.js";
import { complain } from "../sys/terminal.ts";
import { endpointOf } from "./arguments.ts";

const usage = `usage: dockline release POD [--apply] [--endpoint ENDPOINT]
       dockline release --gc [--endpoint ENDPOINT]

Ends a pod that stays Terminating because CNI DEL fails each time. POD is a
name, namespace/name, or the beginning of a pod sandbox's id. Without --apply
nothing is done: it prints what is owed and why. With --apply DEL is tried once
more and, if it fails again, given up: the pod's addresses may then stay counted
as used by the plugin. The log, the metric dockline_cni_given_up_total and
"dockline doctor" name them.

With --gc the network plugins get the list of all pods, and release the rest:
addresses of pods whose DEL was given up or left out (CNI GC, for networks of
CNI 1.1). Dockline does so itself after its start and after it gave a DEL up.

  --apply      give up what cannot be undone
  --gc         let the plugins drop what belongs to no pod
  --endpoint   where the CRI is served (unix:///run/dockline/dockline.sock)

Exit code: 0 something is owed, or was released; 1 nothing is owed, or it
failed; 2 the command line is wrong.
`;

/** A CNI DEL takes up to 220 s, here there may be two, and plugins after one that was given up have 20 s more. */
const stopMs = 560_000;
const readMs = 10_000;
/** It waits up to a minute for a moment without an ADD or DEL, and the plugins have 30 s. */
const gcMs = 120_000;

interface Owed {
  id: string;
  pod: string;
  network: string;
  addresses: readonly string[];
  failure: string;
}

type ReleaseClient = Pick<
  ServiceClient<typeof RuntimeService>,
  "listPodSandbox" | "podSandboxStatus" | "stopPodSandbox" | "updateRuntimeConfig"
>;

/** `dockline release`. */
export async function release(
  args: readonly string[],
  print: (text: string) => void = (text) => void process.stdout.write(text),
): Promise<number> {
  const { endpoint, rest, help } = endpointOf(args);
  const apply = rest.includes("--apply");
  const isGc = rest.length === 1 && rest[0] === "--gc";
  const [pod = "", ...more] = rest.filter((argument) => argument !== "--apply");
  if (help) {
    print(usage);
    return 0;
  }
  if (!isGc && (pod === "" || pod.startsWith("-") || more.length > 0)) {
    complain("release: want POD, or --gc alone; see dockline release --help");
    return 2;
  }
  const connection = connect(endpoint);
  try {
    const runtime = serviceClient(connection, RuntimeService);
    return isGc ? await collect(runtime, print) : await releasePod(runtime, pod, apply, print);
  } catch (error) {
    process.stderr.write(`dockline release: ${callErrorText(error, endpoint)}\n`);
    return 1;
  } finally {
    connection.close();
  }
}

export async function collect(
  runtime: Pick<ReleaseClient, "updateRuntimeConfig">,
  print: (text: string) => void,
): Promise<number> {
  const metadata = { "dockline-network-gc": "true" };
  await runtime.updateRuntimeConfig({}, { timeoutMs: gcMs, metadata });
  print("the network plugins have dropped what belongs to no pod\n");
  return 0;
}

export async function releasePod(
  runtime: ReleaseClient,
  pod: string,
  apply: boolean,
  print: (text: string) => void,
): Promise<number> {
  const { items } = await runtime.listPodSandbox({}, { timeoutMs: readMs });
  const named = items.filter((item) => isNamed(item, pod));
  if (named.length === 0) {
    print(`no pod ${pod} on this node\n`);
    return 1;
  }
  const owed: Owed[] = [];
  for (const item of named) {
    // A healthy pod may have the same name, and must not be stopped.
    const isReady = item.state === PodSandboxState.SANDBOX_READY;
    const one = isReady ? undefined : await owedBy(runtime, item);
    if (one === undefined) print(`${titleOf(item)}: nothing is owed\n`);
    else owed.push(one);
  }
  for (const { id, pod: title, network, addresses, failure } of owed) {
    print(
      `${title}: CNI DEL of network ${network} is owed, ` +
        `${addresses.length === 0 ? "no address is known" : `address ${addresses.join(", ")}`}\n` +
        (failure === "" ? "" : `  it failed: ${failure}\n`),
    );
    if (!apply) continue;
    await runtime.stopPodSandbox(
      { podSandboxId: id },
      { timeoutMs: stopMs, metadata: { "dockline-release": "true" } },
    );
    print("  released: the kubelet can remove the pod\n");
  }
  if (owed.length > 0 && !apply) {
    print("nothing was done; with --apply what DEL cannot undo is given up\n");
  }
  return owed.length === 0 ? 1 : 0;
}

function isNamed({ id, metadata }: PodSandbox, pod: string): boolean {
  if (id.startsWith(pod) && /^[0-9a-f]{6,}$/.test(pod)) return true;
  return metadata?.name === pod || `${metadata?.namespace}/${metadata?.name}` === pod;
}

const titleOf = ({ id, metadata }: PodSandbox): string =>
  `${metadata?.namespace}/${metadata?.name} (${id.slice(0, 12)})`;

async function owedBy(runtime: ReleaseClient, item: PodSandbox): Promise<Owed | undefined> {
  const { info } = await runtime.podSandboxStatus(
    { podSandboxId: item.id, verbose: true },
    { timeoutMs: readMs },
  );
  const known = JSON.parse(info["info"] ?? "{}") as {
    phase?: string;
    network?: { networkName?: string; ips?: string[] } | null;
    delFailure?: string | null;
  };
  const failure = known.delFailure ?? "";
  const isOwed = failure !== "" || (known.phase === "stopping" && known.network != null);
  if (!isOwed) return undefined;
  const { networkName = "unknown", ips = [] } = known.network ?? {};
  return { id: item.id, pod: titleOf(item), network: networkName, addresses: ips, failure };
}
