import { clone, create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import { configHash } from "../../../src/convert/config-hash.ts";
import {
  ContainerConfigSchema,
  PodSandboxConfigSchema,
  type ContainerConfig,
} from "../../../src/gen/runtime/v1/api_pb.js";

const config = create(ContainerConfigSchema, {
  metadata: { name: "app", attempt: 1 },
  envs: [{ key: "A", value: Uint8Array.of(1, 2) }],
  linux: { resources: { cpuShares: 2n ** 60n } },
  labels: { a: "1" },
});

describe("convert/config-hash", () => {
  it("is the same for the same request, off the wire too", () => {
    const again = fromBinary(ContainerConfigSchema, toBinary(ContainerConfigSchema, config));
    expect(configHash(ContainerConfigSchema, again)).to.equal(
      configHash(ContainerConfigSchema, config),
    );
    expect(configHash(ContainerConfigSchema, config)).to.match(/^[0-9a-f]{32}$/);
  });

  it("does not depend on the order of labels", () => {
    const label = fc.tuple(fc.oneof(fc.string(), fc.constant("__proto__")), fc.string());
    const labels = fc.uniqueArray(label, { selector: ([key]) => key });
    fc.assert(
      fc.property(labels, (entries) => {
        const hash = (pairs: [string, string][]) =>
          configHash(
            PodSandboxConfigSchema,
            create(PodSandboxConfigSchema, { labels: Object.fromEntries(pairs) }),
          );
        expect(hash([...entries].reverse())).to.equal(hash(entries));
      }),
    );
  });

  it("differs for what differs", () => {
    const variant = (change: (copy: ContainerConfig) => void): ContainerConfig => {
      const copy = clone(ContainerConfigSchema, config);
      change(copy);
      return copy;
    };
    const variants = [
      config,
      variant((copy) => (copy.tty = true)),
      variant((copy) => (copy.labels = { a: "2" })),
      variant((copy) => (copy.labels = { ["__proto__"]: "1" })),
      variant((copy) => ([copy.annotations, copy.labels] = [copy.labels, {}])),
      variant((copy) => (copy.envs[0]!.value = Uint8Array.of(1))),
      variant((copy) => (copy.linux!.resources!.cpuShares += 1n)),
    ];
    const hashes = variants.map((message) => configHash(ContainerConfigSchema, message));
    hashes.push(configHash(ContainerConfigSchema, config, "runc"));
    hashes.push(configHash(ContainerConfigSchema, config, "", "runc"));
    expect(new Set(hashes).size).to.equal(hashes.length);
  });
});
