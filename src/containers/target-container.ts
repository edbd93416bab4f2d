import { CriError, invalidArgument } from "../errors.ts";
import { NamespaceMode } from "../gen/runtime/v1/api_pb.js";
import type { NamespaceOption } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry, ContainerIndex } from "../index/container-index.ts";

/** Debug containers share the process namespace of one of their own pod's running containers. */
export async function requireTarget(
  index: Pick<ContainerIndex, "find">,
  options: NamespaceOption | undefined,
  sandbox: ContainerEntry,
): Promise<void> {
  if (options?.pid !== NamespaceMode.TARGET) return;
  if (options.targetId === "") throw invalidArgument("namespace_options.target_id is empty");
  const target = await index.find("container", options.targetId);
  const same = target?.identity.kind === "container" && target.identity.podSandboxId === sandbox.id;
  if (target === undefined || !same) {
    throw invalidArgument(
      `namespace_options.target_id: ${options.targetId} is not a container of this pod`,
    );
  }
  if (!target.state.Running) {
    throw new CriError(
      "FailedPrecondition",
      `namespace_options.target_id: container ${target.id} is not running`,
    );
  }
}
