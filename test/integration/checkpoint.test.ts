import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { expectError, logPathOf, readCriLog, until } from "../support/containers.ts";
import type { TestNode } from "../support/node.ts";
import { containerConfig, createContainer, shell, startContainer } from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";
import { sharedPod } from "../support/shared-pod.ts";

// CRIU works on few of the machines that tests run on: where it does not, that is what is tested.

const criu = spawnSync("criu", ["check"], {
  encoding: "utf8",
  env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
});
const works = criu.status === 0;

describe(`a checkpoint, where CRIU ${works ? "works" : "does not work"}`, () => {
  const shared = sharedPod();
  let node: TestNode;
  let pod: RunningPod;

  before(() => {
    ({ node, pod } = shared);
  });

  const archive = (): string => join(node.logDir, "checkpoint-test.tar");
  const parts = (): string[] =>
    readdirSync(node.logDir).filter((name) => name.startsWith("checkpoint-"));

  it("is refused for what cannot be written down, or nowhere", async () => {
    const containerId = await createContainer(node, pod, containerConfig("sleep 1000"));
    const to = (location: string, id = containerId): Promise<unknown> =>
      node.runtime.checkpointContainer({ containerId: id, location });
    await expectError(to(archive()), "FAILED_PRECONDITION", /not running/);
    await expectError(to("checkpoint.tar"), "INVALID_ARGUMENT", /location/);
    await expectError(to(""), "INVALID_ARGUMENT", /location/);
    await expectError(to(archive(), "0".repeat(64)), "NOT_FOUND", /no container/);
    await expectError(to(archive(), pod.podSandboxId), "NOT_FOUND", /no container/);
    await node.runtime.removeContainer({ containerId });
    expect(parts()).to.deep.equal([]);
  });

  it("holds the container's processes and files, or is refused with CRIU's reason", async () => {
    const config = containerConfig(
      "echo changed >/changed; rm /etc/group; n=0; while :; do n=$((n+1)); echo $n; sleep 0.1; done",
    );
    const containerId = await startContainer(node, pod, config);
    const lines = (): number => readCriLog(logPathOf(pod, config)).length;
    await until("it talks", () => lines() > 3);
    const call = node.runtime.checkpointContainer({ containerId, location: archive() });
    if (!works) {
      const reason = /checkpoint: CRIU cannot be used on this node: .{10}/;
      const said = await expectError(call, "UNIMPLEMENTED", reason);
      const first = criu.error?.message ?? criu.stderr;
      if (criu.error === undefined) expect(first).to.include(said.slice(said.indexOf("Error")));
    } else {
      await call;
      expect(statSync(archive()).mode & 0o077).to.equal(0);
      const listed = execFileSync("tar", ["-tf", archive()], { encoding: "utf8" }).split("\n");
      for (const name of [
        "config.dump",
        "spec.dump",
        "rootfs-diff.tar",
        "deleted.files",
        "dump.log",
      ]) {
        expect(listed).to.include(`./${name}`);
      }
      expect(listed.some((name) => /^\.\/checkpoint\/core-\d+\.img$/.test(name))).to.equal(true);
      const read = (name: string): Buffer =>
        execFileSync("tar", ["-xOf", archive(), `./${name}`], { maxBuffer: 1 << 28 });
      expect(JSON.parse(read("deleted.files").toString())).to.deep.equal(["etc/group"]);
      expect(JSON.parse(read("config.dump").toString())).to.include({
        id: containerId,
        name: "main",
      });
      const inner = execFileSync("tar", ["-t"], {
        input: read("rootfs-diff.tar"),
        encoding: "utf8",
      });
      expect(inner).to.include("./changed").and.not.include("etc/group");
    }
    const before = lines();
    await until("it talks on", () => lines() > before + 3);
    expect(await shell(node, containerId, "cat /changed")).to.equal("changed");
    expect(parts()).to.deep.equal(works ? ["checkpoint-test.tar"] : []);
    expect(existsSync(archive()) && readFileSync(archive()).length > 0).to.equal(works);
    await node.runtime.removeContainer({ containerId });
  });
});
