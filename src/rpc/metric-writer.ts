import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { metricCatalog } from "../stats/metric-catalog.ts";

/** Values of the common labels, in the order of the catalogue. */
export interface MetricSubject {
  /** Path of the cgroup. */
  id: string;
  /** Full id of the container; "" for a pod's cgroup. */
  name: string;
  image: string;
  /** The CRI's name of the container; "" for pause containers and pods. */
  container: string;
  pod: string;
  namespace: string;
}

const types = new Map(
  metricCatalog.map((series) => [
    series.name,
    { type: series.type === "counter" ? 0 : 1, labels: series.labels.length },
  ]),
);

/**
 * Encoded Metric messages of one container or pod. Timestamps are left at 0, which tells the kubelet
 * that the value was read for this call.
 */
export class MetricWriter {
  readonly metrics: Uint8Array[] = [];
  readonly #common: Uint8Array;

  constructor(subject: MetricSubject) {
    const out = new BinaryWriter();
    const { id, name, image, container, pod, namespace } = subject;
    for (const value of [id, name, image, container, pod, namespace]) {
      out.tag(4, WireType.LengthDelimited).string(value);
    }
    this.#common = out.finish();
  }

  /** A figure that this kernel does not have gives no series. */
  add(name: `container_${string}`, value: bigint | undefined, ...labels: string[]): void {
    if (value === undefined) return;
    const known = types.get(name);
    // The kubelet drops what it has no descriptor for, without a word.
    if (known?.labels !== labels.length) throw new TypeError(`${name} is not in the catalogue`);
    const out = new BinaryWriter();
    out.tag(1, WireType.LengthDelimited).string(name);
    if (known.type !== 0) out.tag(3, WireType.Varint).int32(known.type);
    out.raw(this.#common);
    for (const label of labels) out.tag(4, WireType.LengthDelimited).string(label);
    out.tag(5, WireType.LengthDelimited).fork();
    if (value !== 0n) out.tag(1, WireType.Varint).uint64(value);
    out.join();
    this.metrics.push(out.finish());
  }
}

/** One PodSandboxMetrics; `containers` are pairs of an id and its encoded metrics. */
export function encodePodMetrics(
  podSandboxId: string,
  metrics: readonly Uint8Array[],
  containers: readonly (readonly [string, readonly Uint8Array[]])[],
): Uint8Array {
  const out = new BinaryWriter();
  out.tag(1, WireType.LengthDelimited).string(podSandboxId);
  for (const metric of metrics) out.tag(2, WireType.LengthDelimited).bytes(metric);
  for (const [id, values] of containers) {
    out.tag(3, WireType.LengthDelimited).fork();
    out.tag(1, WireType.LengthDelimited).string(id);
    for (const metric of values) out.tag(2, WireType.LengthDelimited).bytes(metric);
    out.join();
  }
  return out.finish();
}
