import { expect } from "chai";
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { CniError } from "../../../src/network/cni-error.ts";
import { createPluginRunner } from "../../../src/network/plugin.ts";
import type { PluginCall, PluginRunner } from "../../../src/network/plugin.ts";
import { parseResult } from "../../../src/network/result.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { withCallTrace } from "../../../src/sys/call-trace.ts";
import type { CallTrace } from "../../../src/sys/call-trace.ts";
import { until } from "../../support/until.ts";
import { makeCniFolder, ownPodId } from "../../support/cni-folder.ts";
import type { CniFolder } from "../../support/cni-folder.ts";
import {
  failpointCalls,
  installFailpointPlugin,
  setFailpoints,
} from "../../support/failpoint-cni/install.ts";
import { takeTerm } from "../../support/failpoint-cni/terms.ts";

describe("CNI plugin calls", () => {
  let folder: CniFolder;
  let runner: PluginRunner;

  beforeEach(() => {
    folder = makeCniFolder();
    runner = createPluginRunner({ binDirs: [folder.binDir], clock: systemClock });
  });
  afterEach(() => folder.remove());

  const call = (more: Partial<PluginCall> = {}): PluginCall => ({
    type: "fake",
    verb: "ADD",
    parameters: { containerId: ownPodId, netns: "/n", ifName: "eth0" },
    config: { cniVersion: "1.0.0" },
    timeoutMs: 5000,
    ...more,
  });
  const failure = async (work: Promise<unknown>): Promise<CniError> =>
    await work.then(
      () => expect.fail("succeeded"),
      (error: unknown) => {
        expect(error).to.be.instanceOf(CniError);
        return error as CniError;
      },
    );
  const after = async (body: string, more: Partial<PluginCall> = {}): Promise<CniError> => {
    folder.plugin("fake", body);
    return await failure(runner.run(call(more)));
  };

  it("turns the plugin's error object into a CniError with its code", async () => {
    const error = await after(
      `printf %s '{"cniVersion":"1.0.0","code":7,"msg":"bad\\nconfig","details":"mtu"}'; exit 1`,
    );
    expect(error).to.include({ plugin: "fake", verb: "ADD", code: 7, failure: "plugin" });
    expect(error.message).to.equal("CNI plugin fake ADD: bad config; mtu (code 7)");
  });

  it("tells a crash by its first words, on one line and bounded", async () => {
    const error = await after(
      `printf 'panic: \\033[31mboom\\n\\tat x\\n' >&2; yes no | head -c 5000 >&2; exit 2`,
    );
    expect(error.failure).to.equal("protocol");
    expect(error.message).to.match(/exit code 2 without an error object: panic: \[31mboom at x/);
    expect(error.message.length).to.be.lessThan(700);
    expect((await after("exit 1")).message).to.match(/exit code 1 without an error object$/);
    expect((await after("kill -9 $$")).message).to.include("exit code 137");
    expect((await after("echo '[1]'; exit 1")).failure).to.equal("protocol");
  });

  it("hands its whole environment on, and masks the secrets of it in what a plugin says", async () => {
    runner = createPluginRunner({
      binDirs: [folder.binDir],
      clock: systemClock,
      environment: {
        PATH: process.env["PATH"],
        DATASTORE_TYPE: "kubernetes",
        ETCD_PASSWORD: "hunter2hunter2",
        HTTPS_PROXY: "http://user:pr0xypw@proxy.example:3128",
      },
    });
    const told = (await after(`env >&2; exit 2`)).message;
    expect(told).to.include("DATASTORE_TYPE=kubernetes");
    expect(told).to.include("ETCD_PASSWORD=***").and.include("user:***@proxy.example");
    const reported = `printf '{"code":7,"msg":"login %s"}' "$ETCD_PASSWORD"; exit 1`;
    expect((await after(reported)).message).to.include("login *** (code 7)");
    folder.plugin("fake", `echo "$ETCD_PASSWORD"`);
    const garbage = await runner.run(call());
    expect(() => parseResult("fake", garbage, "1.0.0")).to.throw("not JSON: ***");
    // A result is passed on as it is.
    folder.plugin("fake", `printf '{"x":"%s"}' "$ETCD_PASSWORD"`);
    expect(await runner.run(call())).to.equal('{"x":"hunter2hunter2"}');
  });

  it("has a PATH where the service was started without one", async () => {
    runner = createPluginRunner({ binDirs: [folder.binDir], clock: systemClock, environment: {} });
    folder.plugin("fake", `printf '{"x":"%s"}' "$PATH"`);
    expect(await runner.run(call())).to.include("/usr/sbin:/usr/bin:/sbin:/bin");
  });

  it("refuses results that are none", () => {
    for (const output of ["", "  \n", "hello", "[]", "null", '"x"', "{", '{"code":1,"msg":"no"}']) {
      expect(() => parseResult("fake", output, "1.0.0"), output).to.throw(CniError);
    }
    expect(parseResult("fake", '{"ips":[]}', "0.4.0")).to.deep.equal({
      ips: [],
      cniVersion: "0.4.0",
    });
  });

  it("ends a plugin that writes without end", async () => {
    const error = await after("cat /dev/zero");
    expect(error.failure).to.equal("protocol");
    expect(error.message).to.include("more than 1048576 bytes");
  });

  it("kills the whole group at the deadline and on abort", async () => {
    const pidFile = join(folder.root, "pid");
    const body = `sleep 60 & echo $! > ${pidFile}; wait`;
    expect((await after(body, { timeoutMs: 200 })).failure).to.equal("timeout");
    const aborted = await after(body, { signal: AbortSignal.timeout(200) });
    expect(aborted.failure).to.equal("aborted");
    await new Promise((resolve) => setTimeout(resolve, 50));
    const state = `/proc/${readFileSync(pidFile, "utf8").trim()}/stat`;
    expect(() => {
      if (readFileSync(state, "utf8").includes(") Z ")) throw new Error("ENOENT: a zombie");
    }).to.throw("ENOENT");
  });

  it("ends one that forks without end, with all that it made", async () => {
    // Both lanes fork as fast as they can until they are killed; the number finds them again.
    const nap = `sleep 61.${process.pid}`;
    const body = `lane() { while :; do ${nap} & done; }; lane & lane`;
    const failed = after(body, { timeoutMs: 500 });
    const left = (): number =>
      readdirSync("/proc").filter((pid) => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, "utf8") === `${nap.replace(" ", "\0")}\0`;
        } catch {
          return false;
        }
      }).length;
    await until(() => left() > 10, 3000);
    expect((await failed).failure).to.equal("timeout");
    await until(() => left() === 0, 3000);
  });

  it("answers although a descendant that left the group keeps the pipes open", async () => {
    const pidFile = join(folder.root, "pid");
    const start = performance.now();
    const error = await after(`setsid sleep 30 & echo $! > ${pidFile}; exit 0`, { timeoutMs: 100 });
    process.kill(Number(readFileSync(pidFile, "utf8")), "SIGKILL");
    expect(error.failure).to.equal("timeout");
    expect(performance.now() - start).to.be.lessThan(4000);
  });

  it("waits for a plugin that is being replaced", async () => {
    // Only a binary can be busy: the kernel does not mind a script being open for writing.
    const path = join(folder.binDir, "busy");
    writeFileSync(path, readFileSync("/bin/true"), { mode: 0o755 });
    const held = openSync(path, "r+");
    setTimeout(() => closeSync(held), 300);
    expect(await runner.run(call({ type: "busy" }))).to.equal("");
  });

  it("finds plugins through links, and says when a program cannot be run", async () => {
    folder.plugin("real", "echo '{}'");
    symlinkSync("real", join(folder.binDir, "fake"));
    expect(await runner.run(call())).to.equal("{}\n");
    writeFileSync(join(folder.binDir, "plain"), "", { mode: 0o644 });
    expect((await failure(runner.run(call({ type: "plain" })))).failure).to.equal("missing");
    writeFileSync(join(folder.binDir, "broken"), "#!/absent/interpreter\n", { mode: 0o755 });
    expect((await failure(runner.run(call({ type: "broken" })))).failure).to.equal("spawn");
  });

  it("asks a plugin for its versions once, and again when it was replaced", async () => {
    folder.plugin("fake", "", ["0.4.0"]);
    expect(await runner.versions("fake")).to.deep.equal({ known: ["0.4.0"] });
    folder.plugin("fake", "", ["1.0.0", "1.1.0"]);
    expect(await runner.versions("fake")).to.deep.equal({ known: ["1.0.0", "1.1.0"] });
    writeFileSync(
      join(folder.binDir, "fake"),
      `#!/bin/sh\necho '{"code":4,"msg":"unknown CNI_COMMAND: VERSION"}'\nexit 1\n`,
    );
    expect((await runner.versions("fake")).known).to.deep.equal(["0.1.0"]);
    writeFileSync(join(folder.binDir, "fake"), "#!/bin/sh\necho '{}'\n");
    expect((await runner.versions("fake")).silence).to.include("names no version");
  });

  it("records each call as a step of the CRI call", async () => {
    folder.plugin("fake", "echo '{}'");
    const trace: CallTrace = { rpc: "RunPodSandbox", startedAtMs: 0, steps: [] };
    await withCallTrace(trace, () => runner.run(call({ verb: "DEL" })));
    expect(trace.steps[0]).to.include({ kind: "cni", name: "fake DEL", status: 0 });
  });

  describe("failpoint plugin", () => {
    it("uses its terms up from left to right", () => {
      let text = "2*error(a->b)".replace("->", "-") + "->1*panic(x)->delay(5)";
      const actions: string[] = [];
      for (let round = 0; round < 5; round += 1) {
        const { term, rest } = takeTerm(text);
        actions.push(`${term?.action ?? ""}:${term?.argument ?? ""}`);
        text = rest;
      }
      expect(actions).to.deep.equal(["error:a-b", "error:a-b", "panic:x", "delay:5", "delay:5"]);
      expect(() => takeTerm("explode")).to.throw("not a failpoint");
    });

    it("fails as told and then serves, for each verb apart", async function () {
      this.timeout(30_000);
      installFailpointPlugin(folder.binDir);
      const state = join(folder.root, "state.json");
      setFailpoints(state, {
        ADD: "1*error(no address)->1*panic(boom)->1*garbage->1*empty->1*huge",
      });
      const add = call({
        type: "failpoint",
        config: { cniVersion: "1.0.0", failpointState: state },
      });
      expect(await failure(runner.run(add))).to.include({ code: 999, failure: "plugin" });
      expect((await failure(runner.run(add))).message).to.include("panic: boom");
      expect(await runner.run(add)).to.include("<html>");
      expect(await runner.run(add)).to.equal("");
      expect((await failure(runner.run(add))).message).to.include("more than 1048576 bytes");
      expect(JSON.parse(await runner.run(add))).to.have.nested.property("ips[0].address");
      await runner.run({ ...add, verb: "DEL" });
      expect(
        failpointCalls(state)
          .map(({ verb }) => verb)
          .join(),
      ).to.equal("ADD,ADD,ADD,ADD,ADD,ADD,DEL");
    });
  });

  it("has no child left", () => {
    const children = readdirSync("/proc").filter((pid) => {
      if (!/^\d+$/.test(pid)) return false;
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        return stat.slice(stat.lastIndexOf(")")).split(" ")[2] === String(process.pid);
      } catch {
        return false;
      }
    });
    expect(children).to.deep.equal([]);
  });
});
