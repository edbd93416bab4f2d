import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { constants } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { tempFolder } from "../support/temp-folder.ts";
import { until } from "../support/until.ts";
import { architectures, commandOf, type Architecture } from "./commands.ts";

// The arm64 programs beside those of amd64, in an emulator of user programs: the same input gives the
// same bytes. Needs root (edits must be root's) and Debian's qemu-user-static.

/** An emulated program on a busy machine is up by then. */
const upMs = 1_500;

describe("the arm64 programs", function () {
  this.timeout(20_000);

  describe("dockline-oci", () => {
    const temp = tempFolder();
    const runtime = temp.path("runtime");

    before(() => {
      const features = { mountOptions: ["rro", "ro"], linux: { mountExtensions: {} } };
      writeFileSync(
        runtime,
        `#!/bin/sh\n[ "$1" = features ] && { echo '${JSON.stringify(features)}'; exit; }\necho "ran $*"\n`,
        { mode: 0o755 },
      );
    });
    after(() => temp.remove());

    const call = (architecture: Architecture, ...args: string[]) => {
      const [command, ...first] = commandOf("oci", architecture);
      const { status, stdout, stderr } = spawnSync(command, [...first, ...args], {
        encoding: "utf8",
      });
      return { status, stdout, stderr };
    };
    const onBoth = (...args: string[]) => {
      const [native, emulated] = architectures.map((one) => call(one, ...args));
      expect(emulated).to.deep.equal(native);
      return emulated!;
    };
    /** Creates a container on each architecture: what is run, said and left in config.json. */
    const create = (edits: unknown) => {
      const results = architectures.map((architecture) => {
        const bundle = temp.path(`bundle-${architecture}`);
        const folder = temp.path("edits");
        mkdirSync(bundle, { recursive: true });
        mkdirSync(folder, { recursive: true, mode: 0o711 });
        writeFileSync(join(bundle, "config.json"), specText);
        writeFileSync(
          join(folder, "c1.json"),
          typeof edits === "string" ? edits : JSON.stringify(edits),
          { mode: 0o600 },
        );
        const done = call(
          architecture,
          ...[`--real-runtime=${runtime}`, `--edits=${folder}`],
          ...["create", "--bundle", bundle, "c1"],
        );
        const config = readFileSync(join(bundle, "config.json"), "utf8");
        return { ...done, stdout: done.stdout.replace(bundle, "BUNDLE"), config };
      });
      expect(results[1]).to.deep.equal(results[0]);
      return results[1]!;
    };

    it("says its version and hands other verbs through", () => {
      expect(JSON.parse(onBoth("--dockline-version").stdout)).to.deep.equal({
        edits: 1,
        operations: [
          "listPut",
          "listDrop",
          "envDrop",
          "sortMounts",
          "requires",
          "networkNamespace",
        ],
      });
      const { status, stdout } = onBoth(
        `--real-runtime=${runtime}`,
        "--root=/r",
        "kill",
        "c1",
        "9",
      );
      expect([status, stdout]).to.deep.equal([0, "ran --root=/r kill c1 9\n"]);
      expect(onBoth(`--real-runtime=${runtime}`, "run", "c1").stderr).to.contain("not supported");
    });

    it("edits a spec into the same bytes as on amd64, then runs the real runtime", () => {
      const { status, stdout, config } = create({
        v: 1,
        containerId: "c1",
        merge: { linux: { resources: { unified: { "memory.oom.group": "1" } }, seccomp: null } },
        ops: [
          { op: "mountOptions", destination: "/data", add: ["noexec", "rro"], remove: ["exec"] },
          { op: "ambientCapabilities", add: ["CAP_CHOWN"] },
          { op: "env", name: "B", value: "new \u00fc" },
          { op: "append", path: "/process/args", values: ["more"] },
          { op: "set", path: "/annotations/x~1y", value: "z" },
        ],
      });
      expect([status, stdout]).to.deep.equal([0, "ran create --bundle BUNDLE c1\n"]);
      const edited = JSON.parse(config) as typeof spec & Record<string, unknown>;
      expect(edited.mounts[0]?.options)
        .to.include.members(["noexec", "rro"])
        .and.not.include("exec");
      expect(edited.process.capabilities).to.have.property("ambient").that.includes("CAP_CHOWN");
      expect(edited.process.env).to.deep.equal(["A=1", "B=new \u00fc"]);
      expect(edited.process.args).to.deep.equal(["sh", "more"]);
      expect(edited["annotations"]).to.deep.equal({ "x/y": "z" });
      // Numbers of 64 bits and fractions are as they were, digit by digit.
      expect(config).to.contain('"limit":9223372036854775807').and.contain('"some":0.1');
    });

    for (const [what, edits, sentence] of [
      ["cut edits", '{"v":1,"containerId":"c1","op', "not valid JSON"],
      ["edits of another", { v: 1, containerId: "c2" }, "those of another container"],
      ["an unknown operation", { v: 1, containerId: "c1", ops: [{ op: "magic" }] }, "magic"],
      [
        "an option that the runtime does not know",
        {
          v: 1,
          containerId: "c1",
          ops: [{ op: "mountOptions", destination: "/data", add: ["norun"], remove: [] }],
        },
        "norun",
      ],
      [
        "mapped mounts that the runtime would pass over",
        { v: 1, containerId: "c1", userNamespace: { hostId: 131072, size: 65536 } },
        "",
      ],
    ] as const)
      it(`refuses ${what}, and runs nothing`, () => {
        const { status, stdout, stderr, config } = create(edits);
        expect(status).to.equal(1);
        expect(stdout).to.equal("");
        expect(stderr)
          .to.match(/^dockline-oci: [^\n]+\n$/)
          .and.contain(sentence);
        expect(config).to.equal(specText);
      });
  });

  it("dockline-dial hands over connections, says why there is none, and ends with its parent", async () => {
    const server = createServer((socket) => socket.end("hello"));
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as AddressInfo;
    for (const architecture of architectures) {
      const [command, ...args] = commandOf("dial", architecture);
      const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
      const ended = once(child, "exit");
      const messages: [unknown, unknown][] = [];
      child.on("message", (message, handle) => messages.push([message, handle]));
      for (let id = 0; id < 100; id += 1) child.send({ id, port });
      child.send({ id: 100, port: 1 });
      await until(() => messages.length === 101, 15_000, `${architecture} answers`);
      const sockets = messages.map(([, handle]) => handle).filter((one) => one instanceof Socket);
      expect(sockets, architecture).to.have.length(100);
      const texts = await Promise.all(
        sockets.map(async (socket) => String(await once(socket, "data"))),
      );
      expect(new Set(texts)).to.deep.equal(new Set(["hello"]));
      const refused = messages.find(([, handle]) => handle === undefined)?.[0];
      expect(refused).to.have.property("id", 100);
      expect((refused as { errnos: number[] }).errnos[0]).to.equal(constants.errno.ECONNREFUSED);
      for (const socket of sockets) socket.destroy();
      child.disconnect();
      expect(await ended, architecture).to.deep.equal([0, null]);
    }
    server.close();
  });

  it("pause reaps what lost its parent", async () => {
    for (const architecture of architectures) {
      const program = commandOf("pause", architecture);
      const outer = spawn("unshare", ["--pid", "--fork", "--kill-child", ...program], {
        stdio: "ignore",
      });
      const ended = once(outer, "exit");
      try {
        await sleep(upMs);
        const [pid = ""] = childrenOf(String(outer.pid));
        const orphan = ["sh", "-c", "(sleep 2 &)"];
        spawnSync("nsenter", ["--target", pid, "--pid", ...orphan], { stdio: "ignore" });
        expect(childrenOf(pid), architecture).to.have.length(1);
        await until(() => childrenOf(pid).length === 0, 10_000, `${architecture} has reaped it`);
      } finally {
        outer.kill("SIGKILL");
        await ended;
      }
    }
  });

  for (const signal of ["SIGTERM", "SIGINT"] as const)
    it(`pause waits, outlives other signals, and ends at ${signal} with code 0`, async () => {
      for (const architecture of architectures) {
        const [command, ...args] = commandOf("pause", architecture);
        const child = spawn(command, args, { stdio: "ignore" });
        const ended = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
        await sleep(upMs);
        expect(child.exitCode, architecture).to.equal(null);
        child.kill("SIGCHLD");
        await sleep(200);
        expect(child.exitCode, architecture).to.equal(null);
        child.kill(signal);
        expect(await ended, architecture).to.deep.equal([0, null]);
      }
    });
});

function childrenOf(pid: string): string[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.split(" ").filter((child) => child !== "");
}

const spec = {
  ociVersion: "1.0.2",
  root: { path: "/nonexistent" },
  process: {
    args: ["sh"],
    env: ["A=1", "B=2"],
    capabilities: { bounding: ["CAP_CHOWN"], permitted: [], effective: [], inheritable: [] },
  },
  mounts: [{ destination: "/data", source: "/d", type: "bind", options: ["bind", "exec"] }],
  linux: { resources: { memory: { limit: 0 } }, seccomp: {} },
  some: 0.1,
};
/** With a number that has no equal in JavaScript. */
const specText = JSON.stringify(spec).replace('"limit":0', '"limit":9223372036854775807');
