import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import type { NetworkAttachment } from "../../../src/network/attachment.ts";
import { createChain } from "../../../src/network/chain.ts";
import { CniError } from "../../../src/network/cni-error.ts";
import type { CniFailure } from "../../../src/network/cni-error.ts";
import type { PluginCall } from "../../../src/network/plugin.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { caught } from "../../support/recording-network.ts";

const begun: NetworkAttachment = {
  ...{ networkName: "net", cniVersion: "1.0.0", ifName: "eth0", containerId: "abc" },
  ...{ netns: "/run/netns/pod", plugins: [{ type: "first" }, { type: "second" }] },
  ...{ disableCheck: false, args: [], capabilityArgs: {}, ips: [] },
};

/** A namespace that is there, or with "" gone, however often it is asked for. */
const at = (path: string) => (): Promise<string> => Promise.resolve(path);

describe("the DEL of a chain without the namespace", () => {
  let nowMs: number;
  let calls: PluginCall[];
  let failures: Record<string, Pick<CniError, "failure"> & { absent?: boolean; tookMs?: number }>;
  let chain: ReturnType<typeof createChain>;

  beforeEach(() => {
    nowMs = 1000;
    calls = [];
    failures = {};
    chain = createChain({
      plugins: {
        run: (call) => {
          calls.push(call);
          const found = failures[call.type];
          if (found === undefined) return Promise.resolve("");
          nowMs += found.tookMs ?? 0;
          const about = { plugin: call.type, verb: call.verb, ...found };
          return Promise.reject(new CniError(about, "not now"));
        },
      },
      clock: { ...systemClock, monotonicMs: () => nowMs },
      log: silentLogger,
      deadlineMs: 220_000,
    });
  });

  it("is not given up for a plugin that never ran", async () => {
    for (const failure of ["spawn", "missing"] satisfies CniFailure[]) {
      failures = { second: { failure } };
      expect(await caught(chain.del(begun, at("")))).to.include({ failure });
    }
    failures = { second: { failure: "protocol" } };
    expect(await chain.del({ ...begun, addFailed: true }, at(""))).to.have.length(1);
  });

  it("waits a minute where nobody knows how ADD ended: it may have given an address", async () => {
    failures = { second: { failure: "plugin" } };
    expect(await caught(chain.del(begun, at("")))).to.include({ failure: "plugin" });
    nowMs += 59_000;
    expect(await caught(chain.del(begun, at("")))).to.include({ failure: "plugin" });
    nowMs += 1_000;
    expect(await caught(chain.del({ ...begun, addUnknown: true }, at("")))).to.include({
      failure: "plugin",
    });
    expect(await caught(chain.del({ ...begun, result: {} }, at("")))).to.include({
      failure: "plugin",
    });
    expect(await chain.del(begun, at(""))).to.have.length(1);
  });

  it("leaves each later plugin a time when one that used all of it was given up", async () => {
    failures = { second: { failure: "timeout", tookMs: 220_000 } };
    expect(await chain.del(begun, at(""), true)).to.have.length(1);
    expect(calls.map(({ type, timeoutMs }) => [type, timeoutMs])).to.deep.equal([
      ["second", 220_000],
      ["first", 20_000],
    ]);
  });

  it("waits a minute for a program that is in no folder: after a reboot it may not be installed yet", async () => {
    const complete = { ...begun, result: {}, ips: ["10.1.2.3"] };
    failures = { second: { failure: "missing", absent: true } };
    expect(await caught(chain.del(complete, at("")))).to.include({ absent: true });
    nowMs += 59_000;
    expect(await caught(chain.del(complete, at("")))).to.include({ absent: true });
    expect(await caught(chain.del({ ...complete, containerId: "another" }, at("")))).to.include({
      absent: true,
    });
    nowMs += 1_000;
    expect(await caught(chain.del({ ...complete, containerId: "another" }, at("")))).to.include({
      absent: true,
    });
    expect(await chain.del(complete, at(""))).to.have.length(1);
    expect(await caught(chain.del(complete, at(""))), "it starts over").to.include({
      absent: true,
    });
  });
});

describe("the namespace of a chain", () => {
  const answer = '{"ips":[{"address":"10.1.2.3/24"}]}';
  const chainOf = (calls: string[], failing?: string) =>
    createChain({
      plugins: {
        run: ({ type, verb, parameters }) => {
          calls.push(`${type} ${verb} ${parameters.netns}`);
          if (`${type} ${verb}` !== failing) return Promise.resolve(answer);
          const about = { plugin: type, verb, failure: "plugin", code: 11 } as const;
          return Promise.reject(new CniError(about, "busy"));
        },
      },
      clock: { ...systemClock, sleep: () => Promise.resolve() },
      log: silentLogger,
      deadlineMs: 220_000,
    });

  it("is looked for before each DEL: it may go while another plugin works", async () => {
    const calls: string[] = [];
    const paths = ["/proc/7/ns/net", ""];
    const find = (): Promise<string> => Promise.resolve(paths.shift() ?? "");
    await chainOf(calls).del({ ...begun, result: {} }, find);
    expect(calls).to.deep.equal(["second DEL /proc/7/ns/net", "first DEL "]);
  });

  it("is looked at before each ADD, a repeated one too", async () => {
    for (const [failing, ours, ran] of [
      [undefined, 1, ["first ADD /run/netns/pod"]],
      ["first ADD", 2, ["first ADD /run/netns/pod", "first DEL /run/netns/pod"]],
    ] as const) {
      const calls: string[] = [];
      let asked = 0;
      const check = (): Promise<void> => {
        asked += 1;
        return asked <= ours ? Promise.resolve() : Promise.reject(new Error("another pod's"));
      };
      const error = await caught(chainOf(calls, failing).add(begun, undefined, check));
      expect(error.message).to.equal("another pod's");
      expect(calls).to.deep.equal(ran);
    }
  });
});

describe("a plugin that says that it is to be tried again later", () => {
  let slept: number[];
  /** What each call of each verb answers, in turn; then success. */
  const chainOf = (answers: Record<string, (number | undefined)[]>) => {
    const calls: string[] = [];
    const chain = createChain({
      plugins: {
        run: ({ type, verb, parameters }) => {
          calls.push(`${type} ${verb} ${parameters.netns}`);
          const code = answers[`${type} ${verb}`]?.shift();
          if (code === undefined) {
            return Promise.resolve('{"ips":[{"address":"10.1.2.3/24"}]}');
          }
          const about = { plugin: type, verb, failure: "plugin", code } as const;
          return Promise.reject(new CniError(about, "busy"));
        },
      },
      clock: { ...systemClock, sleep: (ms) => Promise.resolve(void slept.push(ms)) },
      log: silentLogger,
      deadlineMs: 220_000,
    });
    return { chain, calls };
  };
  beforeEach(() => (slept = []));

  it("gets a second ADD after a DEL, and its answer counts", async () => {
    const { chain, calls } = chainOf({ "second ADD": [11] });
    expect((await chain.add(begun)).ips).to.deep.equal(["10.1.2.3"]);
    expect(calls.map((call) => call.replace(/ \/.*/, ""))).to.deep.equal(
      ["first ADD", "second ADD", "second DEL", "second ADD"], // prettier-ignore
    );
    expect(slept).to.deep.equal([1000]);
  });

  it("gets a second DEL, without the namespace as well", async () => {
    const { chain, calls } = chainOf({ "second DEL": [11] });
    expect(await chain.del(begun, at(""))).to.deep.equal([]);
    expect(calls).to.deep.equal(["second DEL ", "second DEL ", "first DEL "]);
  });

  it("gets no third one, and one with another code gets no second one", async () => {
    const add = chainOf({ "first ADD": [11, 11] });
    expect(await caught(add.chain.add(begun))).to.include({ verb: "ADD", code: 11 });
    expect(add.calls).to.have.length(3);
    const del = chainOf({ "second DEL": [11, 11] });
    expect(await caught(del.chain.del(begun, at(begun.netns)))).to.include({ code: 11 });
    expect(del.calls).to.have.length(2);
    const other = chainOf({ "first ADD": [7] });
    expect(await caught(other.chain.add(begun))).to.include({ code: 7 });
    expect(other.calls).to.have.length(1);
    const undone = chainOf({ "first ADD": [11], "first DEL": [100] });
    expect(await caught(undone.chain.add(begun)), "the cause").to.include({ code: 11 });
  });
});
