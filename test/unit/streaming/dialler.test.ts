import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import { createDialler } from "../../../src/streaming/dialler.ts";
import type { Dialler } from "../../../src/streaming/dialler.ts";
import { forkCount } from "../../../src/sys/process.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const helper = [process.execPath, `${import.meta.dirname}/../../support/dialler-helper.ts`];

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

describe("the port-forward helper", () => {
  const folder = tempFolder();
  let server: Server;
  let port: number;
  let dialler: Dialler;
  let pidFile: string;

  // Without root there is no nsenter; what stands in for it leaves the namespace as it is.
  const create = (nsenterPath?: string): Dialler => {
    pidFile = folder.path("pid");
    const nsenter = folder.path("nsenter");
    writeFileSync(nsenter, `#!/bin/sh\necho $$ > ${pidFile}\nshift 2\nexec "$@"\n`);
    chmodSync(nsenter, 0o755);
    return createDialler({
      ...{ netns: "/run/netns/x", helper, log: silentLogger },
      nsenterPath: nsenterPath ?? nsenter,
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

  it("hands over connected sockets with half-close, many at once, from one process", async () => {
    const forks = forkCount();
    dialler = create();
    const texts = await Promise.all(
      Array.from({ length: 60 }, async (_, index) => {
        const socket = await dialler.dial(port);
        socket.end(String(index));
        return readAll(socket);
      }),
    );
    expect(texts).to.deep.equal(Array.from({ length: 60 }, (_, index) => `hello ${index}`));
    expect(forkCount() - forks).to.equal(1);
  });

  it("says for each address why a port cannot be reached", async () => {
    dialler = create();
    const failure = await dialler.dial(1).catch((error: unknown) => error);
    expect((failure as Error).message).to.match(/^127\.0\.0\.1: connection refused, ::1: .+/);
  });

  it("is replaced when it dies, and its sockets live on", async () => {
    dialler = create();
    const old = await dialler.dial(port);
    const killed = pid();
    process.kill(killed, "SIGKILL");
    const next = await dialler.dial(port);
    expect(pid()).to.not.equal(killed);
    for (const socket of [old, next]) {
      socket.end("x");
      expect(await readAll(socket)).to.equal("hello x");
    }
  });

  it("ends with its session, and the session's sockets do not", async () => {
    dialler = create();
    const socket = await dialler.dial(port);
    const helperPid = pid();
    dialler.close();
    socket.end("x");
    expect(await readAll(socket)).to.equal("hello x");
    while (alive(helperPid)) await new Promise((resolve) => setTimeout(resolve, 10));
    const failure = await dialler.dial(port).catch((error: unknown) => error);
    expect((failure as Error).message).to.contain("over");
  });

  it("that cannot be started is an error of each dial", async () => {
    dialler = create("/no/such/nsenter");
    const failure = await dialler.dial(port).catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(Error);
  });

  it("that ends at once is an error of each dial, and is not started without end", async () => {
    const forks = forkCount();
    dialler = create("/bin/false");
    const failure = await dialler.dial(port).catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(Error);
    expect(forkCount() - forks).to.be.at.most(3);
  });

  it("is not needed for the host's own namespace", async () => {
    const forks = forkCount();
    dialler = createDialler({ netns: undefined, log: silentLogger });
    const socket = await dialler.dial(port);
    socket.end("x");
    expect(await readAll(socket)).to.equal("hello x");
    expect(forkCount() - forks).to.equal(0);
  });
});
