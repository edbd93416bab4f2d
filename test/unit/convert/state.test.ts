import { expect } from "chai";
import { containerRun, containerStateOf, sandboxStateOf } from "../../../src/convert/state.ts";
import type { ContainerState as DockerState } from "../../../src/engine/types.ts";
import { ContainerState, PodSandboxState } from "../../../src/gen/runtime/v1/api_pb.js";

const never = "0001-01-01T00:00:00Z";
const started = "2024-01-01T00:00:00.000000001Z";
const finished = "2024-01-01T00:00:02.000000003Z";
const startedNs = 1_704_067_200_000_000_001n;
const finishedNs = 1_704_067_202_000_000_003n;

function docker(fields: Partial<DockerState>): DockerState {
  return {
    Status: "exited",
    Running: false,
    Paused: false,
    Restarting: false,
    OOMKilled: false,
    Dead: false,
    Pid: 0,
    ExitCode: 0,
    Error: "",
    StartedAt: started,
    FinishedAt: finished,
    ...fields,
  };
}

describe("convert/state", () => {
  const words: [DockerState["Status"], ContainerState, PodSandboxState][] = [
    ["created", ContainerState.CONTAINER_CREATED, PodSandboxState.SANDBOX_NOTREADY],
    ["running", ContainerState.CONTAINER_RUNNING, PodSandboxState.SANDBOX_READY],
    ["paused", ContainerState.CONTAINER_RUNNING, PodSandboxState.SANDBOX_READY],
    ["restarting", ContainerState.CONTAINER_RUNNING, PodSandboxState.SANDBOX_READY],
    ["removing", ContainerState.CONTAINER_EXITED, PodSandboxState.SANDBOX_NOTREADY],
    ["exited", ContainerState.CONTAINER_EXITED, PodSandboxState.SANDBOX_NOTREADY],
    ["dead", ContainerState.CONTAINER_EXITED, PodSandboxState.SANDBOX_NOTREADY],
    ["new word" as "dead", ContainerState.CONTAINER_UNKNOWN, PodSandboxState.SANDBOX_NOTREADY],
  ];
  for (const [word, container, sandbox] of words) {
    it(`reads ${word}`, () => {
      expect(containerStateOf(word)).to.equal(container);
      expect(sandboxStateOf(word)).to.equal(sandbox);
    });
  }

  it("reports no times and no code before the start", () => {
    const run = containerRun(
      docker({ Status: "created", StartedAt: never, FinishedAt: never }),
      7n,
    );
    expect(run).to.deep.equal({
      state: ContainerState.CONTAINER_CREATED,
      startedAtNs: 0n,
      finishedAtNs: 0n,
      exitCode: 0,
      reason: "",
      message: "",
    });
  });

  it("reports a restarted container's start, not its last end", () => {
    const run = containerRun(docker({ Status: "running", ExitCode: 0 }), 7n);
    expect(run).to.include({ startedAtNs: startedNs, finishedAtNs: 0n, reason: "" });
  });

  for (const [what, fields, reason] of [
    ["code 0", {}, "Completed"],
    ["code 0 with an OOM-killed child", { OOMKilled: true }, "Completed"],
    ["code 3", { ExitCode: 3 }, "Error"],
    ["an OOM kill", { ExitCode: 137, OOMKilled: true }, "OOMKilled"],
  ] as const) {
    it(`gives the reason for ${what}`, () => {
      const run = containerRun(docker(fields), 7n);
      expect(run).to.include({
        state: ContainerState.CONTAINER_EXITED,
        reason,
        startedAtNs: startedNs,
        finishedAtNs: finishedNs,
      });
    });
  }

  it("takes a failed start for an exit at creation time", () => {
    const failed = docker({
      Status: "created",
      ExitCode: 127,
      Error: "exec: not found",
      StartedAt: never,
      FinishedAt: never,
    });
    expect(containerRun(failed, 7n)).to.deep.equal({
      state: ContainerState.CONTAINER_EXITED,
      startedAtNs: 7n,
      finishedAtNs: 7n,
      exitCode: 127,
      reason: "ContainerCannotRun",
      message: "exec: not found",
    });
    const odd = containerRun(docker({ Status: "created", Error: "no such device" }), 7n);
    expect(odd).to.include({ exitCode: 128, startedAtNs: startedNs, finishedAtNs: finishedNs });
  });

  it("lets no container end before it started", () => {
    const run = containerRun(docker({ StartedAt: finished, FinishedAt: started }), 7n);
    expect(run).to.include({ startedAtNs: startedNs, finishedAtNs: startedNs });
  });

  it("gives an exited container an end even when Docker has none", () => {
    expect(containerRun(docker({ FinishedAt: never }), 7n).finishedAtNs).to.equal(7n);
  });
});
