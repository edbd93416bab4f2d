import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, readFileSync, renameSync, readdirSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import { createDialler } from "../../../src/streaming/dialler.ts";
import type { Dialler } from "../../../src/streaming/dialler.ts";
import { forkCount } from "../../../src/sys/process.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { until } from "../../support/until.ts";

const program = join(
  import.meta.dirname,
  `../../../deploy/dial/dockline-dial-${process.arch === "arm64" ? "arm64" : "amd64"}`,
);
const waits = new AbortController().signal;

async function readAll(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function descriptors(of: number): number {
  return readdirSync(`/proc/${of}/fd`).length;
}

/** A port whose queue of connections is full: who connects to it waits. */
async function fullPort(): Promise<{ port: number; close(): void }> {
  const script =
    "const s = require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () =>" +
    " process.stdout.write(String(s.address().port)))";
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [text] = (await once(child.stdout, "data")) as [Buffer];
  const port = Number(text.toString());
  child.kill("SIGSTOP");
  const fillers: Socket[] = [];
  for (let stuck = false; !stuck;) {
    const socket = connect({ host: "127.0.0.1", port });
    socket.on("error", () => undefined);
    fillers.push(socket);
    stuck = await Promise.race([
      once(socket, "connect").then(() => false),
      sleep(300).then(() => true),
    ]);
  }
  fillers.pop()?.destroy();
  return {
    port,
    close() {
      for (const socket of fillers) socket.destroy();
      child.kill("SIGKILL");
    },
  };
}

describe("the port-forward helper", () => {
  const folder = tempFolder();
  let server: Server;
  let port: number;
  let dialler: Dialler;
  let pidFile: string;

  // What stands between says its process id, and leaves the namespace as it is: that needs no root.
  const create = (between?: string, netns = "/run/netns/x"): Dialler => {
    pidFile = folder.path("pid");
    const script = folder.path("dial");
    writeFileSync(script, `#!/bin/sh\necho $$ > ${pidFile}\nexec ${program}\n`);
    chmodSync(script, 0o755);
    return createDialler({
      ...{ netns, log: silentLogger },
      program: between ?? script,
    });
  };
  const pid = (): number => Number(readFileSync(pidFile, "utf8"));

  before((done) => {
    server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.write("hello ");
      socket.on("error", () => undefined);
      socket.pipe(socket);
    });
    server.listen(0, "127.0.0.1", () => {
      port = (server.address() as AddressInfo).port;
      done();
    });
  });
  after(() => {
    server.close();
    folder.remove();
  });
  afterEach(() => dialler.close());

  it("hands over connected sockets with half-close, a thousand at once, from one process", async () => {
    const forks = forkCount();
    dialler = create();
    const texts = await Promise.all(
      Array.from({ length: 1000 }, async (_, index) => {
        const socket = await dialler.dial(port, waits);
        socket.end(String(index));
        return readAll(socket);
      }),
    );
    expect(texts).to.deep.equal(Array.from({ length: 1000 }, (_, index) => `hello ${index}`));
    expect(forkCount() - forks).to.equal(1);
  });

  it("says for each address why a port cannot be reached", async () => {
    dialler = create();
    const failure = await dialler.dial(1, waits).catch((error: unknown) => error);
    expect((failure as Error).message).to.match(/^127\.0\.0\.1: connection refused, ::1: .+/);
  });

  it("is replaced when it dies, and its sockets live on", async () => {
    dialler = create();
    const old = await dialler.dial(port, waits);
    const killed = pid();
    process.kill(killed, "SIGKILL");
    const next = await dialler.dial(port, waits);
    expect(pid()).to.not.equal(killed);
    for (const socket of [old, next]) {
      socket.end("x");
      expect(await readAll(socket)).to.equal("hello x");
    }
  });

  it("is not replaced once its path leads to another namespace: the pid may be somebody else's", async () => {
    const netns = folder.path("netns");
    writeFileSync(netns, "");
    dialler = create(undefined, netns);
    await dialler.dial(port, waits).then((socket) => socket.destroy());
    process.kill(pid(), "SIGKILL");
    const other = folder.path("other");
    writeFileSync(other, "");
    renameSync(other, netns);
    const failure = await dialler.dial(port, waits).catch((error: unknown) => error);
    expect((failure as Error).message).to.equal("the pod's network namespace is gone");
  });

  it("ends with its session, and the session's sockets do not", async () => {
    dialler = create();
    const socket = await dialler.dial(port, waits);
    const helperPid = pid();
    dialler.close();
    socket.end("x");
    expect(await readAll(socket)).to.equal("hello x");
    while (alive(helperPid)) await new Promise((resolve) => setTimeout(resolve, 10));
    const failure = await dialler.dial(port, waits).catch((error: unknown) => error);
    expect((failure as Error).message).to.contain("over");
  });

  it("that cannot be started is an error of each dial", async () => {
    dialler = create("/no/such/program");
    const failure = await dialler.dial(port, waits).catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(Error);
  });

  it("that ends at once is an error of each dial, and is not started without end", async () => {
    const forks = forkCount();
    dialler = create("/bin/false");
    const failure = await dialler.dial(port, waits).catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(Error);
    expect(forkCount() - forks).to.be.at.most(3);
  });

  it("takes no more than two megabytes for a session", async () => {
    dialler = create();
    await dialler.dial(port, waits);
    const rollup = readFileSync(`/proc/${pid()}/smaps_rollup`, "utf8");
    expect(Number(/^Pss: +(\d+) kB$/m.exec(rollup)?.[1])).to.be.within(1, 2048);
  });

  for (const [where, netns] of [
    ["in the helper", "/run/netns/x"],
    ["in the host's namespace", undefined],
  ] as const)
    it(`stops a dial whose client has gone, ${where}`, async () => {
      const full = await fullPort();
      try {
        dialler = netns === undefined ? createDialler({ netns, log: silentLogger }) : create();
        await dialler.dial(port, waits).then((socket) => socket.destroy());
        const owner = netns === undefined ? process.pid : pid();
        const before = descriptors(owner);
        const client = new AbortController();
        const dials = Array.from({ length: 300 }, () =>
          dialler.dial(full.port, client.signal).catch((error: unknown) => error),
        );
        await until(() => descriptors(owner) >= before + 290, 5_000, "all are being made");
        client.abort(new Error("the client has gone"));
        for (const failure of await Promise.all(dials)) expect(failure).to.be.instanceOf(Error);
        await until(() => descriptors(owner) <= before, 5_000, "none is left");
        // The others are not held up.
        const socket = await dialler.dial(port, waits);
        socket.end("x");
        expect(await readAll(socket)).to.equal("hello x");
      } finally {
        full.close();
      }
    });

  it("is not needed for the host's own namespace", async () => {
    const forks = forkCount();
    dialler = createDialler({ netns: undefined, log: silentLogger });
    const socket = await dialler.dial(port, waits);
    socket.end("x");
    expect(await readAll(socket)).to.equal("hello x");
    expect(forkCount() - forks).to.equal(0);
  });
});
