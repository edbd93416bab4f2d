import { create, toBinary } from "@bufbuild/protobuf";
import {
  ContainerSchema,
  PodSandboxSchema,
  SynchronizeRequestSchema,
  type Container,
  type PodSandbox,
  type SynchronizeRequest,
} from "../gen/nri/v1alpha1/api_pb.js";

/** Bytes of a message; the limit of ttrpc is 4 MiB with all that is around them. */
const ENOUGH = 3.5 * 1024 * 1024;
/** Tag and length before each object. */
const AROUND = 8;

/** What exists, in as few messages as the limit allows; all but the last say that more follows. */
export function synchronizeMessages(
  pods: readonly PodSandbox[],
  containers: readonly Container[],
  limit = ENOUGH,
): SynchronizeRequest[] {
  const messages: SynchronizeRequest[] = [create(SynchronizeRequestSchema)];
  let size = 0;
  const room = (bytes: number): SynchronizeRequest => {
    let last = messages[messages.length - 1] as SynchronizeRequest;
    if (size > 0 && size + bytes > limit) {
      last.more = true;
      last = create(SynchronizeRequestSchema);
      messages.push(last);
      size = 0;
    }
    size += bytes;
    return last;
  };
  for (const pod of pods) room(toBinary(PodSandboxSchema, pod).length + AROUND).pods.push(pod);
  for (const container of containers) {
    room(toBinary(ContainerSchema, container).length + AROUND).containers.push(container);
  }
  return messages;
}
