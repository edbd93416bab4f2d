import { PassThrough, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { execDetachKeys, heldBack, neverTyped } from "../../../src/streaming/detach-keys.ts";
import { copyKeys, typePastDocker } from "../../../src/streaming/exec-terminal.ts";
import { toWire } from "../../../src/engine/modem-options.ts";
import { until } from "../../support/until.ts";

describe("the detach keys", () => {
  it("are a form that Docker accepts, and long", () => {
    const keys = execDetachKeys.split(",");
    expect(keys.length).to.be.at.least(12);
    for (const key of keys) expect(key).to.match(/^ctrl-[@^\]_]$/);
  });

  it("of an attach are bytes that no UTF-8 text has", () => {
    const { path } = toWire(
      {
        path: "/containers/c/attach?",
        method: "POST",
        options: { _query: { stream: true, detachKeys: neverTyped } },
      },
      {} as never,
    );
    expect(path).to.equal(
      `/containers/c/attach?stream=1&detachKeys=${Array(8).fill("%ff").join("%2c")}`,
    );
  });
});

describe("an exec's terminal", () => {
  /** Docker's own filter, with what it lets through. */
  class Filter extends PassThrough {
    readonly #codes = execDetachKeys.split(",").map((key) => key.charCodeAt(5) & 0x1f);
    #held: number[] = [];
    readonly out: number[] = [];

    constructor() {
      super();
      this.on("data", (chunk: Buffer) => {
        for (const byte of chunk) {
          this.#held.push(byte);
          if (byte === this.#codes[this.#held.length - 1]) continue;
          this.out.push(...this.#held);
          this.#held = [];
        }
      });
    }
  }

  it("gets every key at once, each in its place", async () => {
    const stdin = new PassThrough();
    const docker = new Filter();
    void copyKeys(stdin, docker, (bytes) => {
      docker.out.push(...bytes);
      return Promise.resolve(true);
    });
    const typed: number[] = [];
    for (let byte = 0; byte < 256; byte += 1) {
      typed.push(byte);
      stdin.write(Buffer.from([byte]));
      await until(() => docker.out.length === typed.length, 2_000, `byte ${byte} has arrived`);
    }
    for (const text of ["a\x1e", "\x1e\x1e", "\x1e\x1f", "\x1e\x1fx", "b\x1e\x1f\x1d", "\x1e"]) {
      typed.push(...Buffer.from(text));
      stdin.write(text);
      await until(() => docker.out.length === typed.length, 2_000, JSON.stringify(text));
    }
    expect(docker.out).to.deep.equal(typed);
  });

  it("gets no key past Docker before Docker has what was typed before it", async () => {
    const stdin = new PassThrough();
    const order: string[] = [];
    let taken = (): void => undefined;
    const docker = new Writable({
      highWaterMark: 1,
      write: (chunk: Buffer, _encoding, callback) => {
        order.push(chunk.toString());
        taken = callback;
      },
    });
    let takenMs = Infinity;
    const past = new Promise<number>((resolve) => {
      void copyKeys(stdin, docker, (bytes) => {
        order.push(Buffer.from(bytes).toString());
        resolve(performance.now());
        return Promise.resolve(true);
      });
    });
    stdin.write("abc\x1e");
    await until(() => order.length > 0);
    await sleep(60);
    expect(order).to.deep.equal(["abc"]);
    takenMs = performance.now();
    taken();
    expect((await past) - takenMs, "time for Docker to pass it on").to.be.at.least(29);
    expect(order).to.deep.equal(["abc", "\x1e"]);
  });

  it("gets what cannot be given past Docker with the next key", async () => {
    const stdin = new PassThrough();
    const docker = new Filter();
    void copyKeys(stdin, docker, () => Promise.resolve(false));
    stdin.write("\x1e");
    await sleep(50);
    expect(docker.out).to.deep.equal([]);
    stdin.write("x");
    await until(() => docker.out.length === 2);
    expect(docker.out).to.deep.equal([0x1e, 0x78]);
  });

  it("is left alone by keys of a process whose stdin is not to be seen", async () => {
    expect(heldBack(Buffer.from("\x1e"))).to.equal(1);
    expect(await typePastDocker("no-such-exec", process.pid, Buffer.from("x"))).to.equal(false);
    expect(await typePastDocker("no-such-exec", 0, Buffer.from("x"))).to.equal(false);
  });
});
