import type { Handlers } from "../cri/bind.ts";
import { ContainerEventType } from "../gen/runtime/v1/api_pb.js";
import type { RuntimeService } from "../gen/runtime/v1/api_pb.js";
import type { ChangeKind } from "../index/container-index.ts";
import type { EventsFeed } from "../index/events-feed.ts";
import type { EndedUsers } from "../containers/ended-users.ts";
import type { PodDeps } from "../pods/deps.ts";
import type { LogDrains } from "../containers/log-drains.ts";
import type { Views } from "./views.ts";

const types: Readonly<Record<ChangeKind, ContainerEventType>> = {
  created: ContainerEventType.CONTAINER_CREATED_EVENT,
  started: ContainerEventType.CONTAINER_STARTED_EVENT,
  stopped: ContainerEventType.CONTAINER_STOPPED_EVENT,
  deleted: ContainerEventType.CONTAINER_DELETED_EVENT,
};

/** GetContainerEvents: what a kubelet with EventedPLEG lives on instead of its relist. */
export function containerEvents(deps: {
  feed: EventsFeed;
  views: Views;
  drains: LogDrains;
  endedUsers: Pick<EndedUsers, "settle">;
  /** Called with the sandboxes that were shown as READY. */
  sandboxes: Pick<PodDeps["sandboxes"], "claim">;
}): Pick<Handlers<typeof RuntimeService>, "getContainerEvents"> {
  return {
    getContainerEvents: async function* (_request, context) {
      for await (const item of deps.feed.follow(context.signal)) {
        await deps.drains.settle(item.members, 1000);
        await deps.endedUsers.settle(item.members, 250);
        if (item.sandbox !== undefined) deps.sandboxes.claim([item.sandbox]);
        yield {
          containerId: item.entry.id,
          containerEventType: types[item.kind],
          createdAt: item.atNs,
          // The kubelet drops events whose sandbox has no metadata, hence the tombstones.
          ...(item.sandbox === undefined
            ? {}
            : { podSandboxStatus: await deps.views.podSandboxStatus(item.sandbox) }),
          containersStatuses: item.members.map((member) => deps.views.containerStatus(member)),
        };
      }
    },
  };
}
