import { expect } from "chai";
import { Signal } from "../../src/gen/runtime/v1/api_pb.js";
import {
  expectError,
  inspect,
  logPathOf,
  logText,
  readCriLog,
  runToEnd,
  until,
  withContainer,
} from "../support/containers.ts";
import { works } from "../support/fields.ts";
import type { TestNode } from "../support/node.ts";
import { containerConfig, createContainer, shell } from "../support/pods.ts";
import type { ContainerInit, RunningPod } from "../support/pods.ts";
import { sharedPod } from "../support/shared-pod.ts";
import { ensureImage } from "../support/test-images.ts";

const entrypointImage = "dockline.test/entrypoint:1";
const bytes = (text: string): Uint8Array => Buffer.from(text);

describe("a container's process", () => {
  const shared = sharedPod();
  let node: TestNode;
  let pod: RunningPod;
  let count = 0;
  const config = (shellLine: string, fields: ContainerInit = {}): ContainerInit => {
    count += 1;
    return containerConfig(shellLine, { metadata: { name: `c${count}` }, ...fields });
  };
  const run = (fields: ContainerInit) => {
    return runToEnd(node, pod, config("", { command: [], args: [], ...fields }));
  };

  before(async () => {
    ({ node, pod } = shared);
    await ensureImage(node.docker, entrypointImage);
  });

  it("takes command and args over the image's entrypoint and cmd as Kubernetes has it", async () => {
    works("ContainerConfig.command", "ContainerConfig.args", "ImageSpec.image");
    const image = { image: entrypointImage };
    expect((await run({ image })).out).to.equal("show image-entrypoint image-cmd\n");
    expect((await run({ image, args: ["a", "b c"] })).out).to.equal(
      "show image-entrypoint a b c\n",
    );
    expect((await run({ image, command: ["/bin/show", "x"] })).out).to.equal("show x\n");
    expect((await run({ image, command: ["/bin/show"], args: ["y"] })).out).to.equal("show y\n");
  });

  it("has the working directory that was asked, else the image's", async () => {
    works("ContainerConfig.working_dir");
    expect((await runToEnd(node, pod, config("pwd"))).out).to.equal("/\n");
    expect((await runToEnd(node, pod, config("pwd", { workingDir: "/made/here" }))).out).to.equal(
      "/made/here\n",
    );
    const image = { image: entrypointImage };
    expect((await runToEnd(node, pod, config("pwd", { image }))).out).to.equal("/var\n");
    await expectError(
      createContainer(node, pod, config("pwd", { workingDir: "relative" })),
      "INVALID_ARGUMENT",
      /working_dir/,
    );
  });

  it("has its environment in order, over the image's, byte for byte", async () => {
    works("KeyValue.key", "KeyValue.value");
    const envs = [
      { key: "Z", value: bytes("first") },
      { key: "A", value: bytes("line one\nline two = 'ü' $PATH") },
      { key: "EMPTY", value: bytes("") },
      { key: "BOTH", value: bytes("container") },
      { key: "with.dot-dash", value: bytes("1") },
    ];
    const image = { image: entrypointImage };
    const { out } = await runToEnd(node, pod, {
      ...config("", { image, envs }),
      command: ["env"],
      args: [],
    });
    expect(out).to.include("Z=first\nA=line one\nline two = 'ü' $PATH\nEMPTY=\n");
    expect(out).to.include("with.dot-dash=1\n");
    expect(out).to.include("FROM_IMAGE=yes\n");
    expect(out).to.include("BOTH=container\n");
    expect(out).to.not.include("BOTH=image");
  });

  it("replaces what is not UTF-8 in a variable, and names the variable, not the value", async () => {
    const envs = [{ key: "SECRET", value: Uint8Array.of(0x68, 0x75, 0x6e, 0x74, 0xff, 0xfe) }];
    const { out } = await runToEnd(node, pod, config('echo "$SECRET"', { envs }));
    expect(out).to.equal("hunt\ufffd\ufffd\n");
    expect(node.log()).to.match(/"SECRET".*not UTF-8/);
    const bad = [{ key: "", value: bytes("canary-value") }];
    await expectError(
      createContainer(node, pod, config("true", { envs: bad })),
      "INVALID_ARGUMENT",
      /envs\[0\]/,
    );
    expect(node.log()).to.not.match(/hunt|canary-value/);
  });

  it("takes an environment of half a megabyte", async () => {
    const envs = Array.from({ length: 50 }, (_, i) => ({
      key: `BIG_${i}`,
      value: bytes("x".repeat(10_000)),
    }));
    const { out } = await runToEnd(
      node,
      pod,
      config("env | grep -c '^BIG_'; echo ${#BIG_49}", { envs }),
    );
    expect(out).to.equal("50\n10000\n");
  });

  it("shows no environment and no command in its verbose status and in Dockline's log", async () => {
    const envs = [{ key: "TOKEN", value: bytes("canary-in-the-environment") }];
    const quiet = config("true; # canary-in-the-command\nsleep 1000", { envs });
    await withContainer(node, pod, quiet, async (containerId) => {
      const answer = await node.runtime.containerStatus({ containerId, verbose: true });
      expect(JSON.stringify(answer.info)).to.include("sandboxID").and.not.include("canary");
      await node.runtime.execSync({
        containerId,
        cmd: ["true", "canary-in-the-exec"],
        timeout: 5n,
      });
    });
    expect(node.log()).to.not.include("canary");
  });

  it("has a terminal when asked, with both streams on stdout", async () => {
    works("ContainerConfig.tty");
    const tty = config("tty; echo err >&2; echo $TERM", { tty: true });
    const { out, err } = await runToEnd(node, pod, tty);
    expect(out).to.match(/^\/dev\/(pts\/\d+|console)\r?\nerr\r?\nxterm\r?\n$/);
    expect(err).to.equal("");
    const none = config("tty; [ -t 1 ] || echo none");
    expect((await runToEnd(node, pod, none)).out).to.equal("not a tty\nnone\n");
  });

  it("finds stdin closed unless asked, and open when asked", async () => {
    works("ContainerConfig.stdin", "ContainerConfig.stdin_once");
    expect((await runToEnd(node, pod, config("wc -c"))).out).to.equal("0\n");
    const open = config("readlink /proc/self/fd/0; cat; echo over", {
      stdin: true,
      stdinOnce: true,
    });
    await withContainer(node, pod, open, async (containerId) => {
      const { Config: found } = await inspect(node, containerId);
      expect(found).to.include({ OpenStdin: true, StdinOnce: true, Tty: false });
      await until("it printed", () => readCriLog(logPathOf(pod, open)).length > 0);
      await new Promise((resolve) => setTimeout(resolve, 300));
      const { status } = await node.runtime.containerStatus({ containerId });
      expect(status?.exitCode).to.equal(0);
      expect(logText(readCriLog(logPathOf(pod, open))))
        .to.match(/^pipe:/)
        .and.not.include("over");
    });
  });

  it("is stopped with its own signal, else the image's, else SIGTERM, as the status says", async () => {
    works("ContainerConfig.stop_signal");
    const trap = (fields: ContainerInit) =>
      config(
        'for s in TERM USR1 USR2 INT; do trap "echo got $s; exit 7" $s; done; echo up; while :; do sleep 0.05; done',
        fields,
      );
    const cases: [ContainerInit, string, Signal][] = [
      [{}, "TERM", Signal.SIGTERM],
      [{ image: { image: entrypointImage } }, "USR1", Signal.SIGUSR1],
      [{ stopSignal: Signal.SIGUSR2 }, "USR2", Signal.SIGUSR2],
      [{ image: { image: entrypointImage }, stopSignal: Signal.SIGINT }, "INT", Signal.SIGINT],
    ];
    for (const [fields, word, signal] of cases) {
      const one = trap(fields);
      await withContainer(node, pod, one, async (containerId) => {
        await until("it is up", () => readCriLog(logPathOf(pod, one)).length > 0);
        await node.runtime.stopContainer({ containerId, timeout: 10n });
        const { status } = await node.runtime.containerStatus({ containerId });
        expect(status?.exitCode).to.equal(7);
        expect(status?.stopSignal).to.equal(signal);
        expect(logText(readCriLog(logPathOf(pod, one)))).to.equal(`up\ngot ${word}\n`);
      });
    }
  });

  it("is reported as it was asked for", async () => {
    works(
      "ContainerMetadata.name",
      "ContainerMetadata.attempt",
      "ContainerConfig.labels",
      "ContainerConfig.annotations",
      "ContainerConfig.log_path",
      "PodSandboxConfig.log_directory",
    );
    const asked = config("sleep 1000", {
      labels: { "io.kubernetes.container.name": "x", __proto__: "kept", "annotation.odd": "1" },
      annotations: {
        "io.kubernetes.container.hash": "77",
        "io.kubernetes.docker.type": "podsandbox",
      },
    });
    await withContainer(node, pod, asked, async (containerId) => {
      const { status } = await node.runtime.containerStatus({ containerId });
      const { containers } = await node.runtime.listContainers({ filter: { id: containerId } });
      for (const shown of [status, containers[0]]) {
        expect(shown?.id).to.equal(containerId);
        expect(shown?.metadata).to.deep.include(asked.metadata);
        expect(Object.entries(shown?.labels ?? {})).to.have.deep.members(
          Object.entries(asked.labels ?? {}),
        );
        expect(Object.entries(shown?.annotations ?? {})).to.have.deep.members(
          Object.entries(asked.annotations ?? {}),
        );
        expect(shown?.image?.image).to.equal("dockline.test/busybox:1");
        expect(shown?.imageId).to.match(/^sha256:[0-9a-f]{64}$/);
      }
      expect(containers[0]?.podSandboxId).to.equal(pod.podSandboxId);
      expect(status?.logPath).to.equal(logPathOf(pod, asked));
      const { State } = await inspect(node, containerId);
      const ns = BigInt(Date.parse(State.StartedAt)) * 1_000_000n;
      expect((status?.startedAt ?? 0n) - ns < 1_000_000n).to.equal(true);
      expect(await shell(node, containerId, "echo alive")).to.equal("alive");
    });
  });
});
