import { expect } from "chai";
import fc from "fast-check";
import {
  matchesContainer,
  matchesContainerStats,
  matchesPodSandbox,
  matchesPodSandboxStats,
} from "../../../src/convert/filters.ts";
import {
  ContainerState,
  ContainerStateValueSchema,
  PodSandboxState,
  PodSandboxStateValueSchema,
} from "../../../src/gen/runtime/v1/api_pb.js";
import { create } from "@bufbuild/protobuf";

const container = {
  id: "abc123",
  podSandboxId: "def456",
  state: ContainerState.CONTAINER_RUNNING,
  labels: { a: "1", b: "" },
};
const sandbox = { id: "def456", state: PodSandboxState.SANDBOX_READY, labels: { a: "1" } };
const running = create(ContainerStateValueSchema, { state: ContainerState.CONTAINER_RUNNING });
const created = create(ContainerStateValueSchema, { state: ContainerState.CONTAINER_CREATED });
const ready = create(PodSandboxStateValueSchema, { state: PodSandboxState.SANDBOX_READY });
const notReady = create(PodSandboxStateValueSchema, { state: PodSandboxState.SANDBOX_NOTREADY });

describe("convert/filters", () => {
  for (const [filter, expected] of [
    [undefined, true],
    [{}, true],
    [{ id: "abc123" }, true],
    [{ id: "abc" }, true],
    [{ id: "bc1" }, false],
    [{ id: "abc1234" }, false],
    [{ podSandboxId: "def" }, true],
    [{ podSandboxId: "abc" }, false],
    [{ state: running }, true],
    [{ state: created }, false],
    [{ labelSelector: { a: "1" } }, true],
    [{ labelSelector: { a: "1", b: "" } }, true],
    [{ labelSelector: { a: "2" } }, false],
    [{ labelSelector: { c: "" } }, false],
    [{ labelSelector: { toString: "" } }, false],
    [{ id: "abc", podSandboxId: "def", state: running, labelSelector: { a: "1" } }, true],
    [{ id: "abc", podSandboxId: "def", state: created, labelSelector: { a: "1" } }, false],
  ] as const) {
    it(`container ${JSON.stringify(filter)} → ${expected}`, () => {
      expect(matchesContainer(container, filter)).to.equal(expected);
      if (filter === undefined || !("state" in filter)) {
        expect(matchesContainerStats(container, filter)).to.equal(expected);
      }
    });
  }

  for (const [filter, expected] of [
    [undefined, true],
    [{ id: "def" }, true],
    [{ id: "abc" }, false],
    [{ state: ready }, true],
    [{ state: notReady }, false],
    [{ labelSelector: { a: "1" } }, true],
    [{ labelSelector: { a: "" } }, false],
  ] as const) {
    it(`sandbox ${JSON.stringify(filter)} → ${expected}`, () => {
      expect(matchesPodSandbox(sandbox, filter)).to.equal(expected);
      if (filter === undefined || !("state" in filter)) {
        expect(matchesPodSandboxStats(sandbox, filter)).to.equal(expected);
      }
    });
  }

  it("matches its own labels whatever their keys, and no more", () => {
    const key = fc.oneof(fc.string(), fc.constantFrom("__proto__", "constructor"));
    fc.assert(
      fc.property(fc.dictionary(key, fc.string()), key, fc.string(), (labels, name, value) => {
        expect(matchesContainer({ ...container, labels }, { labelSelector: labels })).to.equal(
          true,
        );
        const selector = Object.fromEntries([[name, value]]);
        const has = Object.hasOwn(labels, name) && labels[name] === value;
        expect(matchesContainer({ ...container, labels }, { labelSelector: selector })).to.equal(
          has,
        );
      }),
    );
  });
});
