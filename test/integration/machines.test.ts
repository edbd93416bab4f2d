import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, renameSync, statfsSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect } from "chai";
import { startNode } from "../support/node.ts";
import type { NodeOptions, TestNode } from "../support/node.ts";
import {
  containerConfig,
  removePod,
  runPod,
  shell,
  startContainer,
  untilExited,
} from "../support/pods.ts";
import { expectError, logPathOf, logText, readCriLog, until } from "../support/containers.ts";
import { startPrivateEngine } from "../support/private-engine.ts";
import type { PrivateEngine } from "../support/private-engine.ts";
import { mountSmallDisk } from "../support/small-disk.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { docklineOci } from "../support/oci-engine.ts";

// Machines that people have: where Docker's folder lies, what may be written, which mounts Docker has.

const dockline = join(import.meta.dirname, "..", "..", "bin", "dockline");
const dockerd = process.env["DOCKLINE_TEST_DOCKERD"] ?? "dockerd";

describe("machines", function () {
  this.timeout(120_000);
  const temps: ReturnType<typeof tempFolder>[] = [];
  let engine: PrivateEngine | undefined;
  let node: TestNode | undefined;

  const temp = (): ReturnType<typeof tempFolder> => {
    const folder = tempFolder();
    temps.push(folder);
    return folder;
  };
  const start = async (args: string[] = [], options: NodeOptions = {}): Promise<TestNode> => {
    engine = await startPrivateEngine(args);
    node = await startNode({ upstream: engine.socketPath, ...options });
    return node;
  };
  /** Runs in these mounts; `setUp` is a shell line. */
  const wrapper = (setUp: string, command: string, propagation = "slave"): string => {
    const path = temp().path("wrapper");
    writeFileSync(
      path,
      `#!/bin/sh\nexec unshare --mount --propagation ${propagation} sh -c '${setUp} && exec "$0" "$@"' ${command} "$@"\n`,
    );
    chmodSync(path, 0o755);
    return path;
  };

  afterEach(async () => {
    await node?.close();
    await engine?.remove();
    [node, engine] = [undefined, undefined];
    for (const folder of temps.splice(0)) folder.remove();
  });

  /** A pod's life with what depends on the machine: network, name servers, log, figures. */
  const livesOn = async (on: TestNode): Promise<void> => {
    const pod = await runPod(on);
    const config = containerConfig(
      "echo out; dd if=/dev/zero of=/file bs=1M count=3 2>/dev/null; sleep 600",
    );
    const id = await startContainer(on, pod, config);
    const { status } = await on.runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
    expect(status?.network?.ip).to.match(/^10\./);
    expect(await shell(on, id, "cat /sys/class/net/eth0/operstate")).to.match(/up/);
    await until("the log is there", () => logText(readCriLog(logPathOf(pod, config))) === "out\n");
    const used = async (): Promise<bigint> => {
      const { stats } = await on.runtime.containerStats({ containerId: id });
      return stats?.writableLayer?.usedBytes?.value ?? 0n;
    };
    await until("the writable layer is measured", async () => (await used()) >= 3n << 20n, 30_000);
    await removePod(on, pod);
  };

  const imageFs = async (on: TestNode) => {
    const { imageFilesystems, containerFilesystems } = await on.images.imageFsInfo({});
    return { images: imageFilesystems[0], containers: containerFilesystems[0] };
  };

  it("runs pods where the data root is a symbolic link", async () => {
    const folder = temp();
    mkdirSync(folder.path("real"));
    symlinkSync(folder.path("real"), folder.path("link"));
    const on = await start(["--data-root", folder.path("link")]);
    await livesOn(on);
    const { images } = await imageFs(on);
    expect(images?.fsId?.mountpoint).to.include(folder.path("real"));
  });

  it("goes on where the data root was moved", async () => {
    const folder = temp();
    const [old, moved] = [folder.path("old"), folder.path("moved")];
    mkdirSync(old);
    const args = ["--data-root", old];
    const on = await start(args);
    const pod = await runPod(on);
    const config = containerConfig("echo before; sleep 600");
    const id = await startContainer(on, pod, config);
    const before = on.log().split("the index is synchronized").length - 1;
    await engine!.stop();
    renameSync(old, moved);
    args[1] = moved;
    await engine!.start();
    await untilExited(on, id, 60_000);
    // What the engine says of itself is asked again with that.
    const synchronized = (): number => on.log().split("the index is synchronized").length - 1;
    await until("Dockline has found the engine again", () => synchronized() > before, 30_000);
    expect(logText(readCriLog(logPathOf(pod, config)))).to.equal("before\n");
    await removePod(on, pod);
    await livesOn(on);
    const { images } = await imageFs(on);
    expect(images?.fsId?.mountpoint).to.include(moved);
  });

  it("shows the disk that the data root is", async function () {
    const disk = mountSmallDisk({ mib: 256 });
    try {
      const on = await start(["--data-root", disk.path]);
      await livesOn(on);
      const { images, containers } = await imageFs(on);
      // A containerd that dockerd starts keeps its images below the same folder.
      expect(images?.fsId?.mountpoint).to.include(disk.path);
      expect(containers?.fsId?.mountpoint).to.include(disk.path);
      const { blocks, bfree, bsize } = statfsSync(disk.path);
      expect(Number(containers?.usedBytes?.value)).to.be.at.most((blocks - bfree) * bsize);
    } finally {
      await node?.close();
      await engine?.remove();
      [node, engine] = [undefined, undefined];
      disk.unmount();
    }
  });

  it("runs pods where /etc is read-only", async () => {
    const readOnly = wrapper("mount --bind /etc /etc && mount -o remount,bind,ro /etc", dockline);
    const on = await start([], { program: readOnly });
    await livesOn(on);
    const settings = "/etc/dockline-test-daemon.json";
    const asked = spawnSync(
      readOnly,
      [
        "install-runtime",
        `--docker-endpoint=unix://${engine!.socketPath}`,
        `--binary=${docklineOci}`,
        `--daemon-json=${settings}`,
      ],
      { encoding: "utf8" },
    );
    expect(asked.status).to.equal(1);
    expect(asked.stderr).to.match(/open \/etc\/\S*dockline-test-daemon\.json.*read-only/i);
  });

  it("runs pods of a Docker with mounts of its own, and says what is wrong there", async () => {
    const program = wrapper("true", dockerd, "private");
    engine = await startPrivateEngine([], {}, program);
    node = await startNode({ upstream: engine.socketPath });
    await livesOn(node);
    expect(await doctor(engine.socketPath, "docker-mounts")).to.match(/mount namespace of its own/);
  });

  it("is not ready with a rootless Docker, and says why", async () => {
    const home = temp().path("home");
    mkdirSync(home);
    const program = wrapper(
      `mount -t tmpfs run /run && export XDG_RUNTIME_DIR=${home} HOME=${home} PATH=${home}:$PATH ROOTLESSKIT_STATE_DIR=${home}`,
      dockerd,
      "private --user --map-root-user --net --ipc",
    );
    writeFileSync(join(home, "rootlesskit-docker-proxy"), "#!/bin/sh\n", { mode: 0o755 });
    // Newer engines ask RootlessKit how ports get out, which no pod would use.
    const kit = createServer((_, answer) => {
      answer.setHeader("content-type", "application/json");
      answer.end(
        JSON.stringify({
          apiVersion: "1.1.1",
          version: "2.3.5",
          stateDir: home,
          childPID: process.pid,
          networkDriver: { driver: "none" },
          portDriver: { driver: "none", protos: [] },
        }),
      );
    });
    await once(kit.listen(join(home, "api.sock")), "listening");
    const features = { "containerd-snapshotter": false };
    try {
      engine = await startPrivateEngine(
        ["--rootless", "--group=root", "--storage-driver=vfs"],
        { features },
        program,
      );
      node = await startNode({ upstream: engine.socketPath, dontWait: true });
      const condition = async () =>
        (await node!.runtime.status({})).status?.conditions.find(
          ({ type }) => type === "RuntimeReady",
        );
      await until("it has asked", async () => (await condition())?.reason === "DockerIsRootless");
      expect(await condition())
        .to.include({ status: false })
        .and.property("message")
        .match(/rootless/);
      await expectError(node.runtime.runtimeConfig({}), "FAILED_PRECONDITION", /rootless/);
      expect(await doctor(engine.socketPath, "engine")).to.match(/^ERROR engine: [^-]*rootless/);
    } finally {
      kit.close();
    }
  });

  /** Not in one go: the engine may ask something of this process meanwhile. */
  const doctor = async (socketPath: string, check: string): Promise<string> => {
    const args = ["doctor", `--docker-endpoint=unix://${socketPath}`, "--check", check];
    const child = spawn(dockline, args, { stdio: ["ignore", "pipe", "inherit"] });
    return await text(child.stdout);
  };
});
