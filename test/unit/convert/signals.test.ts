import { expect } from "chai";
import { fromDockerSignal, toDockerSignal } from "../../../src/convert/signals.ts";
import { Signal } from "../../../src/gen/runtime/v1/api_pb.js";
import { refuses, unknownEnum } from "./support.ts";

describe("convert/signals", () => {
  it("gives back every signal of the CRI", () => {
    const values = Object.values(Signal).filter((value) => typeof value === "number");
    expect(values).to.have.length(66);
    for (const value of values as Signal[]) {
      if (value === Signal.RUNTIME_DEFAULT) continue;
      const name = toDockerSignal(value)!;
      expect(name).to.match(/^SIG(?:[A-Z]+[12]?|RTM(?:IN\+|AX-)[0-9]+)$/);
      expect(fromDockerSignal(name)).to.equal(value);
      expect(fromDockerSignal(name.slice(3).toLowerCase())).to.equal(value);
    }
    expect(toDockerSignal(Signal.SIGRTMINPLUS3)).to.equal("SIGRTMIN+3");
    expect(toDockerSignal(Signal.SIGRTMAXMINUS1)).to.equal("SIGRTMAX-1");
  });

  for (const [text, signal] of [
    [undefined, Signal.SIGTERM],
    ["", Signal.SIGTERM],
    ["15", Signal.SIGTERM],
    ["9", Signal.SIGKILL],
    ["34", Signal.SIGRTMIN],
    ["37", Signal.SIGRTMINPLUS3],
    ["49", Signal.SIGRTMINPLUS15],
    ["50", Signal.SIGRTMAXMINUS14],
    ["64", Signal.SIGRTMAX],
    ["33", Signal.RUNTIME_DEFAULT],
    ["99", Signal.RUNTIME_DEFAULT],
    ["SIGNOTHING", Signal.RUNTIME_DEFAULT],
    ["RUNTIME_DEFAULT", Signal.RUNTIME_DEFAULT],
  ] as const) {
    it(`reads ${JSON.stringify(text)}`, () => {
      expect(fromDockerSignal(text)).to.equal(signal);
    });
  }

  it("leaves the image's signal unless asked, and refuses unknown ones", () => {
    expect(toDockerSignal(Signal.RUNTIME_DEFAULT)).to.equal(undefined);
    refuses(() => toDockerSignal(unknownEnum(999)), /stop_signal: 999/);
  });
});
