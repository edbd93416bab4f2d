import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import { toUpdateChange } from "../../../src/convert/nri-adjusted-resources.ts";
import { Refusals } from "../../../src/convert/nri-refusal.ts";
import { CriError } from "../../../src/errors.ts";
import {
  Field,
  FieldOwnersSchema,
  LinuxResourcesSchema,
} from "../../../src/gen/nri/v1alpha1/api_pb.js";
import { LinuxContainerResourcesSchema } from "../../../src/gen/runtime/v1/api_pb.js";
import { v1, type Resources } from "./nri-support.ts";
import { modern } from "./support.ts";

const owners = create(FieldOwnersSchema, {
  simple: { [Field.BlockioClass]: "20-b", [Field.MemLimit]: "-30-c" },
});
const change = (asked: Resources, facts = modern, atCreate = {}, before = {}) =>
  toUpdateChange(
    create(LinuxResourcesSchema, asked),
    create(LinuxContainerResourcesSchema, before),
    facts,
    new Refusals(owners),
    atCreate,
  );
const refusal = (action: () => unknown): [string, string] => {
  try {
    action();
  } catch (error) {
    if (error instanceof CriError) return [error.kind, error.message];
    throw error;
  }
  return ["", ""];
};
const zero = { value: 0n };

describe("updates of containers that exist", () => {
  it("zeros and absent members are not said", () => {
    const asked = {
      memory: { limit: zero, swap: zero },
      cpu: { shares: zero, quota: zero, period: zero },
      blockioClass: { value: "" },
      rdtClass: { value: "" },
    };
    expect(change(asked)).to.equal(undefined);
    expect(toUpdateChange(undefined, undefined, modern, new Refusals(undefined))).to.equal(
      undefined,
    );
  });

  it("pids are carried out, and 0 and less lift the limit", () => {
    expect(change({ pids: { limit: 9n } })?.docker).to.deep.equal({ PidsLimit: 9 });
    expect(change({ pids: { limit: 0n } })?.docker).to.deep.equal({ PidsLimit: -1 });
    expect(change({ pids: { limit: -5n } })?.docker).to.deep.equal({ PidsLimit: -1 });
  });

  it("a class can be said again, and not changed", () => {
    const gold = { blockioClass: { value: "gold" } };
    expect(change(gold, modern, { blockioClass: "gold" })).to.equal(undefined);
    const [kind, text] = refusal(() => change(gold, modern, { blockioClass: "lead" }));
    expect(kind).to.equal("Unimplemented");
    expect(text).to.match(/^NRI plugin 20-b: linux\.resources\.blockio_class: /);
    expect(refusal(() => change({ rdtClass: { value: "x" } }))[1]).to.match(
      /^NRI: linux\.resources\.rdt_class: /,
    );
  });

  it("rules of the device cgroup, and what cgroup v1 alone has, cannot change", () => {
    const rule = { devices: [{ allow: true, type: "c" }] };
    expect(refusal(() => change(rule))[1]).to.contain("linux.resources.devices");
    const swappiness = { memory: { swappiness: { value: 1n } } };
    expect(refusal(() => change(swappiness))[0]).to.equal("FailedPrecondition");
    expect(refusal(() => change(swappiness, v1.engine))[0]).to.equal("Unimplemented");
  });

  it("a reservation is measured by the limit that holds", () => {
    const asked = { memory: { reservation: { value: 1n << 30n } } };
    expect(change(asked)?.docker).to.deep.equal({ MemoryReservation: 1 << 30 });
    const limited = { memoryLimitInBytes: 1n << 29n };
    expect(refusal(() => change(asked, modern, {}, limited))[0]).to.equal("InvalidArgument");
  });

  it("a refusal names who cleared a field, without the mark", () => {
    const [, text] = refusal(() => change({ memory: { limit: { value: -2n } } }));
    expect(text).to.equal("NRI plugin 30-c: linux.resources.memory.limit: -2 is negative");
  });
});
