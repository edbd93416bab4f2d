import { invalidArgument } from "../errors.ts";

/** Key and value pairs of CNI_ARGS in their order. */
export type CniArgs = [string, string][];

/**
 * What Kubernetes network plugins read from CNI_ARGS, in the order of the other CRI runtimes. Values
 * that would end a pair early are refused: the variable has no way to quote them. An empty uid is
 * left out, since a plugin that gets one compares it with the API server's.
 */
export function podCniArgs(pod: {
  podNamespace: string;
  podName: string;
  containerId: string;
  podUid?: string;
}): CniArgs {
  const args: CniArgs = [
    ["IgnoreUnknown", "1"],
    ["K8S_POD_NAMESPACE", pod.podNamespace],
    ["K8S_POD_NAME", pod.podName],
    ["K8S_POD_INFRA_CONTAINER_ID", pod.containerId],
  ];
  if (pod.podUid !== undefined && pod.podUid !== "") args.push(["K8S_POD_UID", pod.podUid]);
  formatCniArgs(args);
  return args;
}

/** The text of CNI_ARGS; throws CriError InvalidArgument for what it cannot carry. */
export function formatCniArgs(args: CniArgs): string {
  return args
    .map(([key, value]) => {
      for (const part of [key, value]) {
        if (/[;=\p{Cc}]/u.test(part)) {
          throw invalidArgument(
            `${key} cannot be passed to CNI plugins: it holds ";", "=" or a control character`,
          );
        }
      }
      return `${key}=${value}`;
    })
    .join(";");
}
