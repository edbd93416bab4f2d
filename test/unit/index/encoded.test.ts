import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import {
  ContainerSchema,
  ListContainersResponseSchema,
  ListPodSandboxResponseSchema,
  PodSandboxSchema,
} from "../../../src/gen/runtime/v1/api_pb.js";
import { FragmentCache, joinList } from "../../../src/index/encoded.ts";

const CONTAINERS_FIELD = ListContainersResponseSchema.field.containers.number;
const ITEMS_FIELD = ListPodSandboxResponseSchema.field.items.number;

const container = fc
  .record({
    id: fc.string({ maxLength: 70 }),
    podSandboxId: fc.string(),
    createdAt: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
    state: fc.integer({ min: 0, max: 3 }),
    // Lengths around 128 and 16384 need one more byte in the length prefix.
    imageRef: fc.oneof(
      fc.string(),
      fc.integer({ min: 0, max: 17_000 }).map((n) => "x".repeat(n)),
    ),
    labels: fc.dictionary(fc.string(), fc.string()),
  })
  .map((fields) => create(ContainerSchema, fields));

describe("encoded lists", () => {
  it("have exactly the bytes of the list encoded as a whole", () => {
    fc.assert(
      fc.property(fc.array(container, { maxLength: 12 }), (containers) => {
        const joined = joinList(
          CONTAINERS_FIELD,
          containers.map((message) => toBinary(ContainerSchema, message)),
        );
        const whole = create(ListContainersResponseSchema, { containers });
        expect(Buffer.from(joined).equals(toBinary(ListContainersResponseSchema, whole))).to.equal(
          true,
        );
        expect(fromBinary(ListContainersResponseSchema, joined)).to.deep.equal(
          fromBinary(ListContainersResponseSchema, toBinary(ListContainersResponseSchema, whole)),
        );
      }),
      { numRuns: 200 },
    );
  });

  it("encode each entry once, and in chunks give the same list", () => {
    let encodings = 0;
    const cache = new FragmentCache(ITEMS_FIELD, (entry: { id: string }) => {
      encodings += 1;
      return toBinary(PodSandboxSchema, create(PodSandboxSchema, { id: entry.id }));
    });
    const entries = Array.from({ length: 300 }, (_, n) => ({ id: `${n}`.padStart(64, "a") }));
    const list = cache.list(entries);
    expect(
      fromBinary(ListPodSandboxResponseSchema, list).items.map((item) => item.id),
    ).to.deep.equal(entries.map((entry) => entry.id));
    const chunks = [...cache.chunks(entries, 1000)];
    expect(chunks.length).to.be.greaterThan(10);
    expect(chunks.every((chunk) => chunk.length <= 1000)).to.equal(true);
    expect(Buffer.concat(chunks).equals(Buffer.from(list))).to.equal(true);
    expect(encodings).to.equal(300);
    expect([...cache.chunks([])]).to.deep.equal([]);
    expect(cache.list([]).length).to.equal(0);
    // One that is larger than a chunk still goes out, alone.
    expect([...cache.chunks(entries.slice(0, 2), 10)].length).to.equal(2);
  });
});
