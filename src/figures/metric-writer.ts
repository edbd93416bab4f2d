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

interface Series {
  /** Name and type of a Metric message, encoded; they are the same in each. */
  head: Uint8Array;
  labels: number;
}

const seriesByName: ReadonlyMap<string, Series> = new Map(
  metricCatalog.map(({ name, type, labels }) => {
    const out = new BinaryWriter().tag(1, WireType.LengthDelimited).string(name);
    if (type === "gauge") out.tag(3, WireType.Varint).int32(1);
    return [name, { head: out.finish(), labels: labels.length }];
  }),
);

/** Field number of a Metric in PodSandboxMetrics and in ContainerMetrics. */
const metricsField = 2;

/**
 * The Metric messages of one container or pod, encoded as they are added: a node has twenty thousand
 * of them. Timestamps are left at 0, which tells the kubelet that the value was read for this call.
 */
export class MetricWriter {
  readonly #common: Uint8Array;
  readonly #out = new BinaryWriter();

  constructor(subject: MetricSubject) {
    const { id, name, image, container, pod, namespace } = subject;
    this.#common = labelsOf([id, name, image, container, pod, namespace]);
  }

  /** A figure that this kernel does not have gives no series. */
  add(name: `container_${string}`, value: bigint | undefined, ...labels: string[]): void {
    if (value === undefined) return;
    const series = seriesByName.get(name);
    // The kubelet drops what it has no descriptor for, without a word.
    if (series?.labels !== labels.length) throw new TypeError(`${name} is not in the catalogue`);
    const own = labels.length === 0 ? nothing : labelsOf(labels);
    const number = value === 0n ? nothing : boxed(value);
    const length = series.head.length + this.#common.length + own.length + number.length + 2;
    this.#out
      .tag(metricsField, WireType.LengthDelimited)
      .uint32(length)
      .raw(series.head)
      .raw(this.#common)
      .raw(own)
      // UInt64Value, at most eleven bytes.
      .tag(5, WireType.LengthDelimited)
      .uint32(number.length)
      .raw(number);
  }

  /** All of them, as elements of the field `metrics`. */
  finish(): Uint8Array {
    return this.#out.finish();
  }
}

const nothing = new Uint8Array(0);

function boxed(value: bigint): Uint8Array {
  return new BinaryWriter().tag(1, WireType.Varint).uint64(value).finish();
}

function labelsOf(values: readonly string[]): Uint8Array {
  const out = new BinaryWriter();
  for (const value of values) out.tag(4, WireType.LengthDelimited).string(value);
  return out.finish();
}

/** One PodSandboxMetrics of what MetricWriter gave for the pod and, by id, for its containers. */
export function encodePodMetrics(
  podSandboxId: string,
  metrics: readonly Uint8Array[],
  containers: readonly (readonly [string, Uint8Array])[],
): Uint8Array {
  const out = new BinaryWriter();
  out.tag(1, WireType.LengthDelimited).string(podSandboxId);
  for (const each of metrics) out.raw(each);
  for (const [id, each] of containers) {
    out.tag(3, WireType.LengthDelimited).fork();
    out.tag(1, WireType.LengthDelimited).string(id);
    out.raw(each).join();
  }
  return out.finish();
}
