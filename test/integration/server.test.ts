import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { connect, serviceClient } from "../../src/cri/client.ts";
import { RuntimeService } from "../../src/gen/runtime/v1/api_pb.js";
import { engineSocket, startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { leavesNothing } from "../support/oracle.ts";
import { holdSocket } from "../support/systemd-socket.ts";
import { until } from "../support/until.ts";

const program = join(import.meta.dirname, "..", "..", "bin", "dockline");

interface Ended {
  code: number | null;
  stderr: string;
}

async function untilEnded(child: ChildProcess): Promise<Ended> {
  let stderr = "";
  child.stderr?.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdout?.resume();
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stderr };
}

describe("the CRI server", () => {
  let node: TestNode;
  before(async () => {
    node = await startNode({ withoutNetwork: true });
  });
  after(async () => {
    await node.close();
  });
  leavesNothing(() => node);

  const socket = (): string => node.endpoint.slice("unix://".length);
  const serve = (...args: string[]): ChildProcess =>
    spawn(
      program,
      ["serve", `--docker-endpoint=unix://${engineSocket}`, "--log-level=error", ...args],
      { stdio: ["ignore", "pipe", "pipe"] },
    );

  describe("its files", () => {
    it("are for root alone", () => {
      const found = statSync(socket());
      expect(found.isSocket()).to.equal(true);
      expect(found.mode & 0o777).to.equal(0o660);
      expect([found.uid, found.gid]).to.deep.equal([0, 0]);
      expect(statSync(node.stateDir).mode & 0o777).to.equal(0o700);
      expect(statSync(join(node.stateDir, "lock")).mode & 0o777).to.equal(0o600);
      expect(readFileSync("/proc/net/unix", "utf8")).to.not.match(/@.*dockline/);
    });

    it("let nobody else in", () => {
      // Perl, which every Debian has: a checkout's own Node may lie where nobody cannot reach it.
      const attempt =
        "use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0);" +
        "connect($s, sockaddr_un($ARGV[0])) and exit 0; print $!{EACCES} ? 'EACCES' : $!; exit 9";
      chmodSync(node.folder, 0o755);
      try {
        execFileSync("/usr/bin/perl", ["-MErrno", "-e", attempt, socket()], {
          uid: 65534,
          gid: 65534,
          cwd: "/",
        });
        expect.fail("nobody could connect");
      } catch (error) {
        expect((error as { stdout?: Buffer }).stdout?.toString().trim()).to.equal("EACCES");
      } finally {
        chmodSync(node.folder, 0o700);
      }
    });

    it("get their modes in a new folder whatever the umask is", async () => {
      const folder = join(node.folder, "umask", "run");
      const child = spawn(
        "/bin/sh",
        [
          "-c",
          'umask 0; exec "$0" "$@"',
          program,
          "serve",
          `--docker-endpoint=unix://${engineSocket}`,
          "--log-level=error",
          `--container-runtime-endpoint=unix://${folder}/x.sock`,
          `--state-dir=${join(node.folder, "umask-state")}`,
        ],
        { stdio: ["ignore", "pipe", "pipe"] },
      );
      const ended = untilEnded(child);
      await until(() => existsSync(`${folder}/x.sock`));
      await until(() => (statSync(`${folder}/x.sock`).mode & 0o777) === 0o660);
      expect(statSync(folder).mode & 0o777).to.equal(0o750);
      expect(statSync(join(node.folder, "umask-state")).mode & 0o777).to.equal(0o700);
      child.kill("SIGTERM");
      expect(await ended).to.deep.equal({ code: 0, stderr: "" });
      expect(existsSync(`${folder}/x.sock`)).to.equal(false);
    });
  });

  describe("where it starts", () => {
    const refused: Record<string, [(folder: string) => string[], RegExp, number?]> = {
      "a folder that everybody may write": [
        (folder) => {
          mkdirSync(`${folder}/open`);
          chmodSync(`${folder}/open`, 0o777);
          return [`--container-runtime-endpoint=unix://${folder}/open/x.sock`];
        },
        /writable by everybody/,
      ],
      "a folder of another user": [
        (folder) => {
          mkdirSync(`${folder}/theirs`);
          execFileSync("chown", ["65534", `${folder}/theirs`]);
          return [`--container-runtime-endpoint=unix://${folder}/theirs/x.sock`];
        },
        /belongs to user 65534/,
      ],
      "a path that is a file": [
        (folder) => {
          writeFileSync(`${folder}/file`, "keep me");
          return [`--container-runtime-endpoint=unix://${folder}/file`];
        },
        /exists and is not a socket/,
      ],
      "an endpoint of TCP": [
        () => ["--container-runtime-endpoint=tcp://127.0.0.1:1"],
        /want unix:\/\/\/absolute\/path or fd:\/\//,
      ],
      "fd:// without a socket passed": [
        () => ["--container-runtime-endpoint=fd://"],
        /no socket was passed/,
      ],
      "a Docker endpoint of TCP": [
        (folder) => [
          "--docker-endpoint=tcp://127.0.0.1:2375",
          `--container-runtime-endpoint=unix://${folder}/y.sock`,
        ],
        /docker-endpoint|unix/,
      ],
      "a pod CIDR that is none": [() => ["--pod-cidr=nonsense"], /pod CIDR: not a range/, 2],
      "a streaming address for other machines": [
        () => ["--streaming-bind-addr=0.0.0.0:0"],
        /open to other machines/,
        2,
      ],
      "a certificate that is not there": [
        () => ["--streaming-tls-cert=/nope", "--streaming-tls-key=/nope"],
        /streaming certificate: open \/nope: no such file/,
        2,
      ],
    };
    for (const [name, [args, message, wanted]] of Object.entries(refused)) {
      it(`refuses ${name}`, async () => {
        const folder = join(node.folder, name.replaceAll(/\W/g, "-"));
        mkdirSync(folder);
        const { code, stderr } = await untilEnded(
          serve(`--state-dir=${folder}/state`, ...args(folder)),
        );
        expect(code, stderr).to.be.oneOf(wanted === undefined ? [1, 2] : [wanted]);
        expect(stderr)
          .to.match(/^dockline: /)
          .and.to.match(message);
        expect(existsSync(`${folder}/state/lock`)).to.equal(false);
        if (existsSync(`${folder}/file`)) {
          expect(readFileSync(`${folder}/file`, "utf8")).to.equal("keep me");
        }
      });
    }

    it("refuses to be the second one on a socket", async () => {
      const { code, stderr } = await untilEnded(
        serve(
          `--container-runtime-endpoint=${node.endpoint}`,
          `--state-dir=${join(node.folder, "second-state")}`,
        ),
      );
      expect(code).to.equal(1);
      expect(stderr).to.include("another instance is serving on");
      expect((await node.runtime.version({})).runtimeName).to.equal("docker");
    });

    it("refuses to be the second one on a state folder", async () => {
      const { code, stderr } = await untilEnded(
        serve(
          `--container-runtime-endpoint=unix://${node.folder}/second.sock`,
          `--state-dir=${node.stateDir}`,
        ),
      );
      expect(code).to.equal(1);
      expect(stderr).to.include(`another instance uses ${node.stateDir}: pid ${node.pid}`);
      expect(existsSync(join(node.folder, "second.sock"))).to.equal(false);
      expect((await node.runtime.version({})).runtimeName).to.equal("docker");
    });

    it("takes over socket and lock of one that was killed", async () => {
      await node.kill();
      expect(existsSync(socket())).to.equal(true);
      await node.start();
      expect((await node.runtime.version({})).runtimeName).to.equal("docker");
    });

    it("serves on a socket that systemd holds, and leaves it there", async () => {
      const path = join(node.folder, "held.sock");
      const held = await holdSocket(path, [
        program,
        "serve",
        "--container-runtime-endpoint=fd://",
        `--docker-endpoint=unix://${engineSocket}`,
        `--state-dir=${join(node.folder, "held-state")}`,
        "--log-level=error",
      ]);
      const connection = connect(`unix://${path}`);
      try {
        for (let round = 0; round < 2; round += 1) {
          // A call that comes before the service is what starts it.
          const early = serviceClient(connection, RuntimeService).version(
            {},
            { timeoutMs: 20_000 },
          );
          const pid = await held.start();
          expect((await early).runtimeName).to.equal("docker");
          process.kill(pid, "SIGTERM");
          expect(await held.ended()).to.equal("0 0");
          expect(existsSync(path)).to.equal(true);
        }
      } finally {
        connection.close();
        held.close();
      }
    });
  });
});
