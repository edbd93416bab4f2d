import { execFileSync, spawn } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { expectError, runToEnd, until, withContainer } from "../support/containers.ts";
import { startNode, type TestNode } from "../support/node.ts";
import { createContainer, hostSandboxConfig, numberedConfig, removePod } from "../support/pods.ts";
import { runPod, shell } from "../support/pods.ts";
import type { ContainerInit, RunningPod } from "../support/pods.ts";

type MountInit = NonNullable<ContainerInit["mounts"]>[number];

describe("the node's paths that mounts name", () => {
  const strict = "/var/lib/dockline-test-strict";
  let node: TestNode;
  let pod: RunningPod;
  const numbered = numberedConfig("h");
  const config = (line: string, mounts: MountInit[], fields: ContainerInit = {}): ContainerInit =>
    numbered(line, { mounts, ...fields });
  const at = (...names: string[]): string => join(node.folder, "paths", ...names);
  const mountOf = (hostPath: string): MountInit => ({ hostPath, containerPath: "/v" });
  const output = async (line: string, mounts: MountInit[]): Promise<string> => {
    const { out, err } = await runToEnd(node, pod, config(line, mounts));
    return out + err;
  };
  const refused = async (hostPath: string, message: RegExp): Promise<void> => {
    const call = createContainer(node, pod, config("true", [mountOf(hostPath)]));
    const details = await expectError(call, "FAILED_PRECONDITION", message);
    expect(details).to.include(`mounts[0].host_path: ${JSON.stringify(hostPath)}`);
  };

  before(async () => {
    const args = ["--absent-mount-sources-to-reject=/etc/dockline-none/,/x"];
    args.push("--absent-mount-sources-to-reject", `${strict}/below`);
    node = await startNode({ withoutNetwork: true, args });
    pod = await runPod(node, hostSandboxConfig(node));
    mkdirSync(at());
  });
  after(async () => {
    await removePod(node, pod);
    await node.close();
  });

  it("are made as folders of root when they are missing, and stay when the create fails", async () => {
    const missing = at("missing", "deep");
    expect(await output("touch /v/x; stat -c '%a %u %g' /v", [mountOf(missing)])).to.equal(
      "755 0 0\n",
    );
    for (const path of [missing, at("missing")]) {
      const { mode, uid, gid } = statSync(path);
      expect([mode & 0o7777, uid, gid]).to.deep.equal([0o755, 0, 0]);
    }
    expect(existsSync(join(missing, "x"))).to.equal(true);
    const image = { image: { image: "dockline.invalid/none:1" } };
    const call = createContainer(node, pod, config("true", [mountOf(at("left"))], image));
    await expectError(call, "NOT_FOUND", /none/);
    expect(statSync(at("left")).isDirectory()).to.equal(true);
  });

  it("are made once for containers that are made at once", async () => {
    const configs = Array.from({ length: 5 }, () => config("true", [mountOf(at("once", "deep"))]));
    const ids = await Promise.all(configs.map((one) => createContainer(node, pod, one)));
    await Promise.all(ids.map((containerId) => node.runtime.removeContainer({ containerId })));
    expect(statSync(at("once", "deep")).isDirectory()).to.equal(true);
  });

  it("are an error in the kernel's words where no folder can be made", async () => {
    writeFileSync(at("file"), "");
    symlinkSync("nothing", at("dangling"));
    symlinkSync("loop", at("loop"));
    for (const name of ["read-only", "full"]) mkdirSync(at(name));
    execFileSync("mount", ["-t", "tmpfs", "-o", "ro", "none", at("read-only")]);
    execFileSync("mount", ["-t", "tmpfs", "-o", "nr_inodes=1", "none", at("full")]);
    try {
      await refused(at("file/x"), /ENOTDIR: not a directory/);
      await refused(at("dangling"), /is a link to \\?"nothing\\?", which does not exist/);
      await refused(at("dangling/x"), /is a link to \\?"nothing\\?", which does not exist/);
      await refused(at("loop"), /ELOOP: too many levels of symbolic links/);
      await refused(at("read-only/x"), /EROFS: read-only file system/);
      await refused(at("full/x"), /ENOSPC: no space left on device/);
      await refused(at("n".repeat(256)), /ENAMETOOLONG: file name too long/);
      const long = `/${"a/".repeat(2100)}`;
      const call = createContainer(node, pod, config("true", [mountOf(long)]));
      await expectError(call, "FAILED_PRECONDITION", /host_path: "\/a\/.*: ENAMETOOLONG/);
      expect(existsSync("/a")).to.equal(false);
    } finally {
      for (const name of ["read-only", "full"]) execFileSync("umount", [at(name)]);
    }
    expect(existsSync(at("nothing"))).to.equal(false);
    expect(readlinkSync(at("dangling"))).to.equal("nothing");
  });

  it("are not made where an option says so, and are bound there when they exist", async () => {
    const why = /does not exist, and --absent-mount-sources-to-reject/;
    await refused("/etc/dockline-none", why);
    await refused("/etc//dockline-none/", why);
    await refused(`${strict}/below/it`, why);
    expect(existsSync("/etc/dockline-none")).to.equal(false);
    try {
      mkdirSync(join(strict, "below"), { recursive: true });
      expect(await output("echo ok", [mountOf(join(strict, "below"))])).to.equal("ok\n");
    } finally {
      execFileSync("rm", ["-r", strict]);
    }
  });

  it("may be files, sockets, FIFOs and devices, and links to them", async () => {
    writeFileSync(at("plain"), "text\n");
    execFileSync("mkfifo", [at("fifo")]);
    execFileSync("mknod", [at("block"), "b", "7", "200"]);
    symlinkSync("plain", at("to-plain"));
    const socket = createServer();
    await new Promise<void>((resolve) => socket.listen(at("socket"), resolve));
    try {
      const kinds = ["plain", "fifo", "block", "to-plain", "socket"].map((name) => ({
        hostPath: at(name),
        containerPath: `/k/${name}`,
      }));
      const null_ = { hostPath: "/dev/null", containerPath: "/k/null", readonly: true };
      const line = "cat /k/to-plain; stat -c %F /k/fifo /k/block /k/socket /k/null";
      expect(await output(line, [...kinds, null_])).to.equal(
        "text\nfifo\nblock special file\nsocket\ncharacter special file\n",
      );
    } finally {
      socket.close();
    }
    expect(lstatSync(at("to-plain")).isSymbolicLink()).to.equal(true);
  });

  it("keep the meaning in /proc that they have under Docker, also when Dockline has ended", async () => {
    // A process with namespaces of its own: init's may be out of reach in a nested node.
    const other = spawn("unshare", ["--net", "--uts", "sleep", "1000"], { stdio: "ignore" });
    const proc = `/proc/${String(other.pid)}`;
    await until("it sleeps", () => readFileSync(`${proc}/comm`, "utf8") === "sleep\n");
    const own = (name: string): string => readlinkSync(`${proc}/ns/${name}`);
    symlinkSync("/proc/self/mounts", at("mtab"));
    const mounts = [
      { hostPath: `${proc}/ns/net`, containerPath: "/p/net", readonly: true },
      { hostPath: `${proc}/ns/uts`, containerPath: "/p/uts" },
      { hostPath: "/proc/mounts", containerPath: "/p/mounts" },
      { hostPath: at("mtab"), containerPath: "/p/mtab" },
      { hostPath: "/proc/self/status", containerPath: "/p/status" },
      { hostPath: "/proc/uptime", containerPath: "/p/uptime" },
      { hostPath: proc, containerPath: "/p/process" },
    ];
    const one = config("sleep 1000", mounts);
    const ended = withContainer(node, pod, one, async (containerId) => {
      const look = async (): Promise<void> => {
        for (const name of ["net", "uts"]) {
          const inode = await shell(node, containerId, `stat -c %i /p/${name}`);
          expect(`${name}:[${inode}]`).to.equal(own(name));
        }
        for (const name of ["mounts", "mtab"])
          expect(await shell(node, containerId, `cat /p/${name}`)).to.match(/ \/p\/mounts /);
        expect(await shell(node, containerId, "grep ^Name: /p/status")).to.match(/\tsleep$/);
        expect(await shell(node, containerId, "cat /p/uptime")).to.match(/^\d/);
        expect(await shell(node, containerId, "cat /p/process/comm")).to.equal("sleep");
      };
      await look();
      await node.kill();
      await node.start();
      await look();
    });
    await ended.finally(() => other.kill());
  });

  it("are an error in /proc when they are missing", async () => {
    await refused("/proc/dockline-none", /ENOENT: no such file or directory/);
    await refused("/proc/self/fd/99999", /ENOENT: no such file or directory/);
  });
});
