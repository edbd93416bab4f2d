import type {
  ContainerFilter,
  ContainerState,
  ContainerStatsFilter,
  PodSandboxFilter,
  PodSandboxState,
  PodSandboxStatsFilter,
} from "../gen/runtime/v1/api_pb.js";

type Labels = Readonly<Record<string, string>>;

export interface FilterableContainer {
  readonly id: string;
  readonly podSandboxId: string;
  readonly state: ContainerState;
  readonly labels: Labels;
}

export interface FilterablePodSandbox {
  readonly id: string;
  readonly state: PodSandboxState;
  readonly labels: Labels;
}

type Fields<T> = Partial<Omit<T, "$typeName" | "$unknown">>;

/** All parts of a filter are AND-ed; an empty part matches everything; ids match by prefix. */
export function matchesContainer(
  container: FilterableContainer,
  filter: Fields<ContainerFilter> | undefined,
): boolean {
  return (
    filter === undefined ||
    (container.id.startsWith(filter.id ?? "") &&
      container.podSandboxId.startsWith(filter.podSandboxId ?? "") &&
      (filter.state === undefined || filter.state.state === container.state) &&
      matchesLabels(container.labels, filter.labelSelector))
  );
}

/** As matchesContainer, for ListPodSandbox and StreamPodSandboxes. */
export function matchesPodSandbox(
  sandbox: FilterablePodSandbox,
  filter: Fields<PodSandboxFilter> | undefined,
): boolean {
  return (
    filter === undefined ||
    (sandbox.id.startsWith(filter.id ?? "") &&
      (filter.state === undefined || filter.state.state === sandbox.state) &&
      matchesLabels(sandbox.labels, filter.labelSelector))
  );
}

export function matchesContainerStats(
  container: Pick<FilterableContainer, "id" | "podSandboxId" | "labels">,
  filter: Fields<ContainerStatsFilter> | undefined,
): boolean {
  return (
    filter === undefined ||
    (container.id.startsWith(filter.id ?? "") &&
      container.podSandboxId.startsWith(filter.podSandboxId ?? "") &&
      matchesLabels(container.labels, filter.labelSelector))
  );
}

export function matchesPodSandboxStats(
  sandbox: Pick<FilterablePodSandbox, "id" | "labels">,
  filter: Fields<PodSandboxStatsFilter> | undefined,
): boolean {
  return (
    filter === undefined ||
    (sandbox.id.startsWith(filter.id ?? "") && matchesLabels(sandbox.labels, filter.labelSelector))
  );
}

function matchesLabels(labels: Labels, selector: Labels | undefined): boolean {
  if (selector === undefined) return true;
  return Object.keys(selector).every(
    (key) => Object.hasOwn(labels, key) && labels[key] === selector[key],
  );
}
