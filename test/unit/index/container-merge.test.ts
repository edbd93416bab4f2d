import { expect } from "chai";
import { formatTimeNs } from "../../../src/convert/time.ts";
import type {
  ContainerInspect,
  ContainerState,
  ContainerSummary,
  EngineEvent,
} from "../../../src/engine/types.ts";
import { merge, type Fact, type Known } from "../../../src/index/container-merge.ts";
import { initialState } from "../../../src/index/container-state.ts";

// Times in seconds, orders as plain numbers: a larger order is what this process learnt later.

const id = "a".repeat(64);
const name = "k8s_c_p_n_u_0";
const second = 1_000_000_000n;
const mark = (order: number, atSecond = order) => ({
  order,
  wallNs: BigInt(atSecond) * second,
  monotonicMs: atSecond * 1000,
});
const at = (seconds: number): string => formatTimeNs(BigInt(seconds) * second);

const running: ContainerState = {
  ...initialState,
  Status: "running",
  Running: true,
  Pid: 9,
  StartedAt: at(5),
};
const exited = (code: number, finished: number): ContainerState => ({
  ...initialState,
  Status: "exited",
  ExitCode: code,
  StartedAt: at(5),
  FinishedAt: at(finished),
});

const start: Known = {
  name,
  image: "i",
  imageId: "i",
  createdAtNs: second,
  state: initialState,
  inspect: undefined,
  dirty: true,
  changedAt: 1,
  stateAt: 1,
  inspected: undefined,
  stateNs: 0n,
  exitUnknown: false,
  oomNs: 0n,
};

type SeenBy = "inspected" | "flight" | "none";
const event = (Action: string, second_: number, order: number, seenBy: SeenBy = "none"): Fact => {
  const Actor = { ID: id, Attributes: { exitCode: "3", name } };
  const told: EngineEvent = {
    Type: "container",
    Action,
    Actor,
    timeNano: BigInt(second_) * second,
  };
  return { kind: "event", event: told, order, seenBy };
};
const inspect = (State: ContainerState, since: number, atSecond = since): Fact => {
  const answer = {
    Id: id,
    Name: `/${name}`,
    Created: at(1),
    Image: "sha256:1",
    LogPath: "",
    State,
    HostConfig: {},
    Config: { Image: "i", User: "" },
    NetworkSettings: {},
  } as unknown as ContainerInspect;
  return { kind: "inspect", inspect: answer, since: mark(since, atSecond), legacy: false };
};
const list = (State: ContainerState["Status"], Status: string, since: number): Fact => {
  const summary = { Id: id, Names: [`/${name}`], State, Status } as ContainerSummary;
  return { kind: "list", summary, since: mark(since), order: since + 1 };
};
const write = (now: "running" | "exited" | undefined, order: number): Fact => ({
  kind: "write",
  now,
  mark: mark(order),
});

interface Row {
  /** Facts, in the order in which they arrive. */
  facts: Fact[];
  state: Partial<ContainerState>;
  /** Another inspect is wanted. */
  dirty: boolean;
}

/** What wins over what. Each title is a rule; each row what is left when the facts have arrived so. */
const table: Record<string, Row> = {
  "an inspect tells all": {
    facts: [inspect(running, 3)],
    state: running,
    dirty: false,
  },
  "an inspect that began later wins over one that is answered later": {
    facts: [inspect(exited(1, 6), 7), inspect(running, 3)],
    state: exited(1, 6),
    dirty: false,
  },
  "an event that the inspect must have seen says nothing": {
    facts: [inspect(exited(1, 6), 9), event("die", 6, 10, "inspected")],
    state: exited(1, 6),
    dirty: false,
  },
  "an event after the inspect wins, and another inspect is wanted": {
    facts: [inspect(running, 6), event("die", 8, 9)],
    state: { Status: "exited", ExitCode: 3, FinishedAt: at(8), StartedAt: at(5) },
    dirty: true,
  },
  "an inspect that began before the event does not undo it": {
    facts: [inspect(running, 4), event("die", 8, 9), inspect(running, 7)],
    state: { Status: "exited", ExitCode: 3 },
    dirty: true,
  },
  "an inspect that began after the event is the last word": {
    facts: [inspect(running, 4), event("die", 8, 9), inspect(exited(4, 8), 10)],
    state: exited(4, 8),
    dirty: false,
  },
  "an event that the inspect under way must have seen is left to its answer": {
    facts: [inspect(running, 4), event("die", 8, 11, "flight"), inspect(exited(4, 8), 10)],
    state: exited(4, 8),
    dirty: false,
  },
  "an older event does not undo a newer one": {
    facts: [inspect(running, 4), event("die", 8, 9), event("start", 5, 10)],
    state: { Status: "exited", FinishedAt: at(8) },
    dirty: true,
  },
  "an older start tells its time all the same": {
    facts: [write("running", 2), event("start", 1, 3), event("die", 7, 4)],
    state: { Status: "exited", StartedAt: at(1), FinishedAt: at(7) },
    dirty: true,
  },
  "an older inspect tells the start's time all the same": {
    facts: [write("running", 2), event("die", 7, 4), inspect(running, 3)],
    state: { Status: "exited", StartedAt: at(5), FinishedAt: at(7) },
    dirty: true,
  },
  "an own start is shown before anybody tells of it": {
    facts: [inspect(initialState, 2), write("running", 4)],
    state: { Status: "running" },
    dirty: true,
  },
  "an own start's answer does not revive what has died meanwhile": {
    facts: [inspect(initialState, 2), event("die", 6, 4), write("running", 5)],
    state: { Status: "exited", ExitCode: 3 },
    dirty: true,
  },
  "a list brings the state forward where no event came": {
    facts: [inspect(running, 4), list("exited", "Exited (7) 1 second ago", 6)],
    state: { Status: "exited", ExitCode: 7 },
    dirty: true,
  },
  "a list never revives, but has the object looked at": {
    facts: [inspect(exited(1, 6), 7), list("running", "Up 1 second", 8)],
    state: exited(1, 6),
    dirty: true,
  },
  "a list that calls removing what an inspect called dead says nothing": {
    facts: [
      inspect({ ...exited(137, 6), Status: "dead", Dead: true }, 7),
      list("removing", "Removal In Progress", 8),
    ],
    state: { Status: "dead", ExitCode: 137 },
    dirty: false,
  },
  "a list that calls dead what no inspect has seen has it looked at": {
    facts: [list("removing", "Removal In Progress", 4), list("dead", "Dead", 8)],
    state: { Status: "dead" },
    dirty: true,
  },
  "a list that began before the last change says nothing": {
    facts: [inspect(running, 4), list("created", "Created", 3)],
    state: running,
    dirty: false,
  },
  "a late end tells the code that a list could not": {
    facts: [inspect(running, 4), list("dead", "Dead", 9), event("die", 8, 12)],
    state: { Status: "exited", ExitCode: 3, FinishedAt: at(8) },
    dirty: true,
  },
  "a gap has the object looked at and says nothing": {
    facts: [inspect(running, 4), { kind: "gap", order: 6 }],
    state: running,
    dirty: true,
  },
  "an inspect that began before the gap is not the last word": {
    facts: [inspect(running, 4), { kind: "gap", order: 6 }, inspect(running, 5)],
    state: running,
    dirty: true,
  },
};

describe("merging facts about a container", () => {
  for (const [rule, { facts, state, dirty }] of Object.entries(table)) {
    it(rule, () => {
      const known = facts.reduce(merge, start);
      expect(known.state).to.include(state);
      expect(known.dirty, "dirty").to.equal(dirty);
    });
  }

  it("gives the same object when a fact says nothing new", () => {
    const known = merge(start, inspect(exited(1, 6), 7));
    for (const fact of [
      inspect(running, 3),
      event("die", 6, 10, "inspected"),
      list("exited", "Exited (1) 2 seconds ago", 9),
      list("running", "Up 1 second", 6),
    ]) {
      expect(merge(known, fact)).to.equal(known);
    }
  });

  it("never changes what it is given", () => {
    const freeze = (known: Known): Known =>
      Object.freeze({ ...known, state: Object.freeze(known.state) });
    for (const { facts } of Object.values(table)) {
      facts.reduce((known, fact) => merge(freeze(known), fact), start);
    }
  });

  it("counts the kernel's word for the cause of a bad end, and of no other", () => {
    expect(merge(merge(start, inspect(exited(137, 6), 7)), { kind: "killed" }).oomNs).to.equal(
      6n * second,
    );
    for (const state of [running, exited(0, 6), { ...exited(1, 6), OOMKilled: true }]) {
      const known = merge(start, inspect(state, 7));
      expect(merge(known, { kind: "killed" })).to.equal(known);
    }
  });
});
