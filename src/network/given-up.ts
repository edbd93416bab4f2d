import { errorText } from "../errors.ts";
import type { GivenUp } from "../state/given-up.ts";
import type { NetworkAttachment } from "./attachment.ts";
import type { CniError } from "./cni-error.ts";

/** The same as a line of the log has it. */
export function lineOf({ containerId: podId, pod: fullName, ...rest }: GivenUp): object {
  const [namespace, pod] = fullName.split("/");
  return { pod, namespace, podId, ...rest };
}

export function givenUpOf(attachment: NetworkAttachment, failure: CniError): GivenUp {
  const args = new Map(attachment.args);
  const namespace = args.get("K8S_POD_NAMESPACE") ?? "";
  return {
    containerId: attachment.containerId,
    pod: `${namespace}/${args.get("K8S_POD_NAME") ?? ""}`,
    network: attachment.networkName,
    plugin: failure.plugin,
    addresses: attachment.ips,
    reason: errorText(failure),
  };
}
