import { existsSync, lstatSync, readFileSync, readlinkSync, renameSync, rmSync } from "node:fs";
import { mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { ContainerState } from "../../src/gen/runtime/v1/api_pb.js";
import {
  expectError,
  logPathOf,
  logText,
  readCriLog,
  runToEnd,
  until,
  withContainer,
} from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  numberedConfig,
  removePod,
  runPod,
  startContainer,
  untilExited,
} from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";
import { sharedPod } from "../support/shared-pod.ts";

describe("container logs", () => {
  const shared = sharedPod();
  let node: TestNode;
  let pod: RunningPod;
  const config = numberedConfig("l");
  /** Runs `work` in a pod of its own whose log directory is as told. */
  const inPod = async (logDirectory: string, work: (own: RunningPod) => Promise<void>) => {
    const own = await runPod(node, hostSandboxConfig(node, { logDirectory }));
    try {
      await work(own);
    } finally {
      await removePod(node, own);
    }
  };

  before(() => {
    ({ node, pod } = shared);
  });

  it("are lines with time, stream and tag, in order", async () => {
    const one = config("echo one; sleep 0.05; echo two >&2; sleep 0.05; printf 'no end'");
    const before = new Date().toISOString();
    await runToEnd(node, pod, one);
    const lines = readCriLog(logPathOf(pod, one));
    expect(lines.map(({ stream, tag, text }) => `${stream} ${tag} ${text}`)).to.deep.equal([
      "stdout F one",
      "stderr F two",
      "stdout P no end",
    ]);
    for (const { time } of lines) {
      expect(time).to.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}(Z|[+-]\d\d:\d\d)$/);
      expect(Date.parse(time)).to.be.within(Date.parse(before) - 1000, Date.now() + 1000);
    }
    expect(statSync(logPathOf(pod, one)).mode & 0o777).to.equal(0o640);
  });

  it("carry lines beyond 16 KiB in parts, and odd bytes as they are", async () => {
    const one = config(
      "head -c 100000 /dev/zero | tr '\\0' x; echo; printf 'a\\tb\\\\n\"q\" \\303\\274\\n\\n'; echo end",
    );
    const { out } = await runToEnd(node, pod, one);
    expect(out).to.equal(`${"x".repeat(100_000)}\na\tb\\n"q" ü\n\nend\n`);
    const tags = readCriLog(logPathOf(pod, one)).map(({ tag, text }) => `${tag}${text.length}`);
    expect(tags.filter((tag) => tag.startsWith("P"))).to.have.length.greaterThan(3);
    expect(tags.slice(-3).every((tag) => tag.startsWith("F"))).to.equal(true);
  });

  it("have U+FFFD in place of bytes that are not UTF-8, as Docker's own file has", async () => {
    const split = "head -c 16383 /dev/zero | tr '\\0' a; printf '\\303\\251\\n'";
    const { out } = await runToEnd(node, pod, config(`printf 'caf\\351\\n'; ${split}`));
    const [latin1, overTheBorder] = out.split("\n");
    expect(latin1).to.equal("caf\ufffd");
    expect(overTheBorder).to.match(/^a{16383}\ufffd+$/);
  });

  it("are complete when EXITED is reported, by status and by list", async () => {
    const line = "i=0; while [ $i -lt 1000 ]; do echo $i $(printf '%01000d' 0); i=$((i+1)); done";
    const fast = "seq 1 150000";
    for (const [shell, bytes] of [
      [line, 1_000_000],
      [fast, 1_000_000],
    ] as const) {
      for (const ask of ["status", "list"]) {
        const one = config(shell);
        const containerId = await startContainer(node, pod, one);
        const exited = async () => {
          const { containers } =
            ask === "list"
              ? await node.runtime.listContainers({ filter: { id: containerId } })
              : { containers: [(await node.runtime.containerStatus({ containerId })).status] };
          return containers[0]?.state === ContainerState.CONTAINER_EXITED;
        };
        let text = "";
        await until("it exited", async () => {
          if (!(await exited())) return false;
          text = logText(readCriLog(logPathOf(pod, one)));
          return true;
        });
        expect(text.length).to.be.greaterThan(bytes - 70_000);
        expect(text).to.match(shell === fast ? /\n150000\n$/ : /\n999 0+\n$/);
        await node.runtime.removeContainer({ containerId });
      }
    }
  });

  it("are reopened: the old file grows no more and the new one is there", async () => {
    const one = config("i=0; while :; do echo $i; i=$((i+1)); sleep 0.002; done");
    await withContainer(node, pod, one, async (containerId) => {
      const path = logPathOf(pod, one);
      const parts: string[] = [];
      for (let turn = 0; turn < 5; turn += 1) {
        await until("there are lines", () => readCriLog(path).length > 20);
        const old = `${path}.20260101-00000${turn}`;
        renameSync(path, old);
        await node.runtime.reopenContainerLog({ containerId });
        expect(existsSync(path)).to.equal(true);
        const { size } = statSync(old);
        parts.push(old);
        await new Promise((resolve) => setTimeout(resolve, 100));
        expect(statSync(old).size).to.equal(size);
      }
      await node.runtime.stopContainer({ containerId, timeout: 0n });
      await node.runtime.containerStatus({ containerId });
      const numbers = [...parts, path]
        .flatMap((part) => logText(readCriLog(part)).trim().split("\n"))
        .map(Number);
      expect(numbers).to.deep.equal(numbers.map((_, i) => i));
      await expectError(
        node.runtime.reopenContainerLog({ containerId }),
        "FAILED_PRECONDITION",
        /not running/,
      );
    });
    await expectError(
      node.runtime.reopenContainerLog({ containerId: "0".repeat(64) }),
      "NOT_FOUND",
      /no container/,
    );
  });

  it("make the folder that is missing, and go on when their file is deleted", async () => {
    const directory = join(node.folder, "not", "there", "yet");
    await inPod(directory, async (own) => {
      const one = config("while :; do echo tick; sleep 0.02; done", { logPath: "deep/er/9.log" });
      await withContainer(node, own, one, async (containerId) => {
        const path = join(directory, "deep/er/9.log");
        await until("it logs", () => readCriLog(path).length > 3);
        rmSync(path);
        await node.runtime.reopenContainerLog({ containerId });
        await until("it logs again", () => readCriLog(path).length > 3);
        rmSync(join(directory, "deep"), { recursive: true });
        await node.runtime.reopenContainerLog({ containerId });
        await until("it logs once more", () => readCriLog(path).length > 3);
      });
    });
    // The kubelet asks for nothing here: what is gone is noticed.
    await inPod(join(node.folder, "swept"), async (own) => {
      const counts = config("i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done");
      const quiet = config("echo once; exec sleep 1000");
      await withContainer(node, own, quiet, () =>
        withContainer(node, own, counts, async (containerId) => {
          const numbers = (): number[] =>
            readCriLog(logPathOf(own, counts)).map(({ text }) => Number(text));
          await until("it logs", () => numbers().length > 3);
          const before = numbers().at(-1) ?? 0;
          rmSync(join(node.folder, "swept"), { recursive: true });
          await until("both files are there again", () =>
            [counts, quiet].every((one) => existsSync(logPathOf(own, one))),
          );
          await until("it logs again", () => numbers().length > 20);
          await node.runtime.stopContainer({ containerId, timeout: 0n });
          await untilExited(node, containerId);
          const [first = 0] = numbers();
          // Lines of the moment may have been read before the folder went.
          expect(first).to.be.within(before - 5, before + 5);
          expect(numbers()).to.deep.equal(numbers().map((_, at) => first + at));
        }),
      );
    });
    const quiet = config("echo x", { logPath: "" });
    await withContainer(node, pod, quiet, async (containerId) => {
      expect((await node.runtime.containerStatus({ containerId })).status?.logPath).to.equal("");
    });
  });

  it("leave no folder but their own, and follow no symlink", async () => {
    const victim = join(node.folder, "victim");
    writeFileSync(victim, "precious");
    const directory = join(node.folder, "pods", "hostile");
    mkdirSync(directory, { recursive: true });
    await inPod(directory, async (own) => {
      for (const logPath of [
        "../../victim",
        victim,
        "a/../../x",
        "..",
        "a\u0000b",
        "a\nb",
        "n".repeat(256),
        `${"d/".repeat(2500)}x`,
        "folder/",
      ]) {
        const call = (async () => {
          const containerId = await createContainer(node, own, config("echo x", { logPath }));
          try {
            await node.runtime.startContainer({ containerId });
          } finally {
            await node.runtime.removeContainer({ containerId });
          }
        })();
        await expectError(call, "INVALID_ARGUMENT", /log/);
      }
      symlinkSync(victim, join(directory, "link.log"));
      symlinkSync(node.folder, join(directory, "linked"));
      for (const logPath of ["link.log", "linked/victim", "linked/new.log"]) {
        const containerId = await createContainer(node, own, config("echo x", { logPath }));
        await expectError(
          node.runtime.startContainer({ containerId }),
          "INVALID_ARGUMENT",
          /symlink/,
        );
        await node.runtime.removeContainer({ containerId });
      }
      expect(readFileSync(victim, "utf8")).to.equal("precious");
      expect(existsSync(join(node.folder, "new.log"))).to.equal(false);
    });
    await inPod("relative/folder", async (own) => {
      await expectError(
        createContainer(node, own, config("true")),
        "INVALID_ARGUMENT",
        /log_directory/,
      );
    });
  });

  it("survive a symlink that takes their place while the container runs", async () => {
    const victim = join(node.folder, "victim-of-a-swap");
    writeFileSync(victim, "precious");
    const one = config("while :; do echo tick; sleep 0.005; done");
    await withContainer(node, pod, one, async (containerId) => {
      const path = logPathOf(pod, one);
      await until("it logs", () => readCriLog(path).length > 3);
      rmSync(path);
      symlinkSync(victim, path);
      await expectError(
        node.runtime.reopenContainerLog({ containerId }),
        "INVALID_ARGUMENT",
        /symlink/,
      );
      await new Promise((resolve) => setTimeout(resolve, 200));
      rmSync(path);
      await node.runtime.reopenContainerLog({ containerId });
      await until("it logs again", () => readCriLog(path).length > 3);
      rmSync(dirname(path), { recursive: true });
    });
    expect(readFileSync(victim, "utf8")).to.equal("precious");
  });
});

describe("container logs in docker-json form", () => {
  let node: TestNode;
  before(async () => {
    node = await startNode({ withoutNetwork: true, args: ["--container-log-format=docker-json"] });
  });
  after(async () => {
    await node.close();
  });

  it("are dockershim's symlink, made again by a reopening, and removed alone", async () => {
    const before = nodeState(node);
    const pod = await runPod(node, hostSandboxConfig(node));
    const one = containerConfig("while :; do echo tick; sleep 0.02; done");
    const path = logPathOf(pod, one);
    const containerId = await startContainer(node, pod, one);
    const source = readlinkSync(path);
    expect(source).to.match(new RegExp(`/containers/${containerId}/${containerId}-json\\.log$`));
    await until("Docker wrote", () => readFileSync(path, "utf8").includes('"log":"tick\\n"'));
    renameSync(path, `${path}.rotated`);
    await node.runtime.reopenContainerLog({ containerId });
    expect(readlinkSync(path)).to.equal(source);
    await node.kill();
    await node.start();
    rmSync(path);
    await node.runtime.reopenContainerLog({ containerId });
    expect(readlinkSync(path)).to.equal(source);
    await node.runtime.removeContainer({ containerId });
    expect(() => lstatSync(path)).to.throw(/ENOENT/);

    const mine = containerConfig("sleep 1000", { metadata: { name: "mine" } });
    mkdirSync(dirname(logPathOf(pod, mine)), { recursive: true });
    writeFileSync(logPathOf(pod, mine), "not a link");
    await withContainer(node, pod, mine, () => Promise.resolve());
    expect(readFileSync(logPathOf(pod, mine), "utf8")).to.equal("not a link");
    await removePod(node, pod);
    await expectNothingLeft(node, { ...before, files: nodeState(node).files });
  });
});
