/*
 * src/figures: what statistics and metrics look like on the wire.
 * Not here: reading files of the kernel (src/stats) and requests to Docker.
 */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type {
  CgroupFigures,
  InterfaceFigures,
  MemoryFigures,
  Psi,
  PsiLine,
  SwapFigures,
} from "../stats/figures.ts";
import type { LayerSize } from "../stats/layer-sizes.ts";
import type { NetworkFigures } from "../stats/net-dev.ts";

/**
 * The stats messages, written field by field. A node has hundreds of them every ten seconds, each
 * with thirty boxed numbers: by way of message objects they cost more than reading the kernel's
 * files. Field numbers are those of ContainerStats and PodSandboxStats in proto/runtime/v1/api.proto.
 */

/** One for all: it has grown to the size of the messages, and hands out copies. */
const writer = new BinaryWriter();

export interface ContainerStatsParts {
  /** Encoded ContainerAttributes. */
  attributes: Uint8Array;
  /** Undefined for a container that does not run. */
  figures: CgroupFigures | undefined;
  layer: LayerSize | undefined;
  /** Folder whose file system has the writable layer. */
  layerFolder: string;
}

export function encodeContainerStats(parts: ContainerStatsParts): Uint8Array {
  const { figures, layer } = parts;
  return written((out) => {
    out.tag(1, WireType.LengthDelimited).bytes(parts.attributes);
    if (figures !== undefined) {
      cpu(out, 2, figures);
      if (figures.memory !== undefined) memory(out, 3, figures, figures.memory);
    }
    if (layer !== undefined) {
      nested(out, 4, () => {
        out.tag(1, WireType.Varint).int64(layer.atNs);
        nested(out, 2, () => out.tag(1, WireType.LengthDelimited).string(parts.layerFolder));
        boxed(out, 3, layer.usedBytes);
        boxed(out, 4, layer.inodesUsed);
      });
    }
    if (figures?.swap !== undefined) swap(out, 5, figures.atNs, figures.swap);
    if (figures !== undefined) io(out, 6, figures);
  });
}

export interface PodStatsParts {
  /** Encoded PodSandboxAttributes. */
  attributes: Uint8Array;
  figures: CgroupFigures | undefined;
  network: NetworkFigures | undefined;
  /** Encoded ContainerStats. */
  containers: readonly Uint8Array[];
}

export function encodePodSandboxStats(parts: PodStatsParts): Uint8Array {
  const { figures, network } = parts;
  return written((out) => {
    out.tag(1, WireType.LengthDelimited).bytes(parts.attributes);
    nested(out, 2, () => {
      if (figures !== undefined) {
        cpu(out, 1, figures);
        if (figures.memory !== undefined) memory(out, 2, figures, figures.memory);
      }
      if (network !== undefined) networkUsage(out, 3, network);
      if (figures?.pids !== undefined) {
        const { atNs, pids } = figures;
        nested(out, 4, () => {
          out.tag(1, WireType.Varint).int64(atNs);
          boxed(out, 2, pids);
        });
      }
      for (const container of parts.containers) {
        out.tag(5, WireType.LengthDelimited).bytes(container);
      }
      if (figures !== undefined) io(out, 6, figures);
    });
  });
}

/** A message of its own; what broke off leaves nothing for the next one. */
function written(write: (out: BinaryWriter) => void): Uint8Array {
  let message: Uint8Array;
  try {
    write(writer);
  } finally {
    message = writer.finish();
  }
  return message;
}

function cpu(out: BinaryWriter, field: number, figures: CgroupFigures): void {
  nested(out, field, () => {
    out.tag(1, WireType.Varint).int64(figures.atNs);
    boxed(out, 2, figures.cpuUsageNs);
    boxed(out, 3, figures.cpuNanoCores);
    psi(out, 4, figures.cpuPsi);
  });
}

function memory(
  out: BinaryWriter,
  field: number,
  figures: CgroupFigures,
  use: MemoryFigures,
): void {
  nested(out, field, () => {
    out.tag(1, WireType.Varint).int64(figures.atNs);
    boxed(out, 2, use.workingSetBytes);
    boxed(out, 3, use.availableBytes);
    boxed(out, 4, use.usageBytes);
    boxed(out, 5, use.rssBytes);
    boxed(out, 6, use.pageFaults);
    boxed(out, 7, use.majorPageFaults);
    psi(out, 8, figures.memoryPsi);
  });
}

function swap(out: BinaryWriter, field: number, atNs: bigint, use: SwapFigures): void {
  nested(out, field, () => {
    out.tag(1, WireType.Varint).int64(atNs);
    boxed(out, 2, use.availableBytes);
    boxed(out, 3, use.usageBytes);
  });
}

function io(out: BinaryWriter, field: number, figures: CgroupFigures): void {
  if (figures.ioPsi === undefined) return;
  nested(out, field, () => {
    out.tag(1, WireType.Varint).int64(figures.atNs);
    psi(out, 2, figures.ioPsi);
  });
}

function networkUsage(out: BinaryWriter, field: number, network: NetworkFigures): void {
  nested(out, field, () => {
    out.tag(1, WireType.Varint).int64(network.atNs);
    if (network.defaultInterface !== undefined) {
      networkInterface(out, 2, network.defaultInterface);
    }
    for (const each of network.interfaces) {
      if (each !== network.defaultInterface) networkInterface(out, 3, each);
    }
  });
}

function networkInterface(out: BinaryWriter, field: number, each: InterfaceFigures): void {
  nested(out, field, () => {
    out.tag(1, WireType.LengthDelimited).string(each.name);
    boxed(out, 2, each.rxBytes);
    boxed(out, 3, each.rxErrors);
    boxed(out, 4, each.txBytes);
    boxed(out, 5, each.txErrors);
  });
}

function psi(out: BinaryWriter, field: number, use: Psi | undefined): void {
  if (use === undefined) return;
  nested(out, field, () => {
    psiLine(out, 1, use.full);
    psiLine(out, 2, use.some);
  });
}

function psiLine(out: BinaryWriter, field: number, line: PsiLine | undefined): void {
  if (line === undefined) return;
  nested(out, field, () => {
    // The kernel counts microseconds, the CRI nanoseconds.
    const totalNs = BigInt.asUintN(64, line.totalUs * 1000n);
    if (totalNs !== 0n) out.tag(1, WireType.Varint).uint64(totalNs);
    if (line.avg10 !== 0) out.tag(2, WireType.Bit64).double(line.avg10);
    if (line.avg60 !== 0) out.tag(3, WireType.Bit64).double(line.avg60);
    if (line.avg300 !== 0) out.tag(4, WireType.Bit64).double(line.avg300);
  });
}

/** A UInt64Value; "not known" is no field at all. */
function boxed(out: BinaryWriter, field: number, value: bigint | undefined): void {
  if (value === undefined) return;
  nested(out, field, () => {
    if (value !== 0n) out.tag(1, WireType.Varint).uint64(value);
  });
}

function nested(out: BinaryWriter, field: number, write: () => void): void {
  out.tag(field, WireType.LengthDelimited).fork();
  write();
  out.join();
}
