import { expect } from "chai";
import { readIdentity } from "../../../src/convert/labels.ts";
import { formatTimeNs } from "../../../src/convert/time.ts";
import type { ContainerInspect, EngineEvent } from "../../../src/engine/types.ts";
import { mergeEvent, mergeInspect, setStatus } from "../../../src/index/container-merge.ts";
import { newRecord } from "../../../src/index/container-record.ts";
import type { ContainerRecord } from "../../../src/index/container-record.ts";
import { initialState } from "../../../src/index/container-state.ts";
import { Tick } from "../../../src/index/tick.ts";
import { systemClock } from "../../../src/sys/clock.ts";

const id = "a".repeat(64);
const name = "k8s_c_p_n_u_0";
const second = 1_000_000_000n;
const event = (Action: string, timeNano: bigint): EngineEvent => ({
  Type: "container",
  Action,
  Actor: { ID: id, Attributes: { exitCode: "3" } },
  timeNano,
});

function fresh(): ContainerRecord {
  const identity = readIdentity({
    name,
    labels: { "io.kubernetes.docker.type": "container" },
    imageLabels: {},
  });
  if (identity === undefined) throw new Error("no identity");
  return newRecord({
    id,
    name,
    read: { identity, imageLabelsMissing: false },
    labels: {},
    image: "i",
    imageId: "i",
    createdAtNs: second,
    state: initialState,
    order: 1,
  });
}

describe("merging what is told of a container", () => {
  it("learns the start's time from an event that is older than the start's answer", () => {
    const tick = new Tick(systemClock);
    const record = fresh();
    setStatus(record, "running", { order: 2, wallNs: 6n * second, monotonicMs: 0 });
    mergeEvent(record, event("start", 5n * second), tick);
    mergeEvent(record, event("die", 7n * second), tick);
    expect(record.state).to.include({
      Status: "exited",
      ExitCode: 3,
      StartedAt: formatTimeNs(5n * second),
      FinishedAt: formatTimeNs(7n * second),
    });
  });

  it("learns the start's time from an inspect that had not seen the end", () => {
    const tick = new Tick(systemClock);
    const record = fresh();
    setStatus(record, "running", { order: 2, wallNs: 6n * second, monotonicMs: 0 });
    const since = tick.mark();
    mergeEvent(record, event("die", 7n * second), tick);
    const running = { ...initialState, Status: "running", Running: true } as const;
    const inspect = {
      Id: id,
      Name: `/${name}`,
      State: { ...running, StartedAt: formatTimeNs(5n * second) },
    } as ContainerInspect;
    mergeInspect(record, inspect, since);
    expect(record.state).to.include({
      Status: "exited",
      StartedAt: formatTimeNs(5n * second),
      FinishedAt: formatTimeNs(7n * second),
    });
    expect(record.dirty).to.equal(true);
  });
});
