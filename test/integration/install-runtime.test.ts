import { expect } from "chai";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../support/containers.ts";
import { startNode, type TestNode } from "../support/node.ts";
import { busybox, docklineOci, startOciEngine, type OciEngine } from "../support/oci-engine.ts";
import {
  containerConfig,
  hostSandboxConfig,
  runPod,
  removePod,
  shell,
  startContainer,
} from "../support/pods.ts";

// Registers dockline-oci with an engine of its own while that runs containers. Needs root.

describe("dockline install-runtime", function () {
  this.timeout(120_000);
  const dockline = join(import.meta.dirname, "..", "..", "bin", "dockline");
  let engine: OciEngine;
  let base: string;
  let node: TestNode;
  let file: string;
  let program: string;

  before(async () => {
    engine = await startOciEngine({});
    file = engine.folder("daemon.json");
    base = mkdtempSync(join(tmpdir(), "dlinst-"));
    chmodSync(base, 0o711);
    program = join(base, "dockline-oci");
    copyFileSync(docklineOci, program);
    node = await startNode({ upstream: engine.folder("s"), args: [`--run-dir=${base}/run`] });
  });
  after(async () => {
    await node.close();
    await engine.remove();
    rmSync(base, { recursive: true, force: true });
  });

  const run = (...args: string[]) =>
    spawnSync(
      dockline,
      [
        "install-runtime",
        `--docker-endpoint=unix://${engine.folder("s")}`,
        `--run-dir=${base}/run`,
        `--binary=${program}`,
        // Never the machine's own, whatever goes wrong.
        `--daemon-json=${file}`,
        ...args,
      ],
      { encoding: "utf8" },
    );
  const registered = (): string =>
    engine.docker("info", "--format", "{{range $name, $_ := .Runtimes}}{{$name}} {{end}}");
  const mountOptionsWork = async (): Promise<boolean> =>
    (await node.runtime.status({})).features?.mountOptions === true;

  it("registers without a restart, twice is once, and a Dockline that runs uses it at once", async () => {
    const before = '{\n\t"runtimes": { },\n\t"shutdown-timeout" : 7, "labels": ["a=b"]\n}\n';
    writeFileSync(file, before, { mode: 0o640 });
    chmodSync(file, 0o640);
    const running = engine.docker("run", "-d", "--network=none", busybox, "sleep", "1000");
    const since = engine.docker("info", "--format", "{{.ID}} {{.SystemTime}}").split(" ")[0];
    const pid = readFileSync(engine.folder("pid"), "utf8");
    expect(await mountOptionsWork()).to.equal(false);

    const done = run();
    expect(done.stderr).to.equal("");
    expect(done.status).to.equal(0);
    expect(done.stdout).to.contain("dockline is registered").and.contain("it can: {");
    expect(registered()).to.contain("dockline ");
    expect(readFileSync(engine.folder("pid"), "utf8")).to.equal(pid);
    expect(engine.docker("info", "--format", "{{.ID}}")).to.equal(since);
    expect(engine.docker("inspect", "-f", "{{.State.Running}}", running)).to.equal("true");
    const written = readFileSync(file, "utf8");
    expect(written).to.contain('"shutdown-timeout" : 7, "labels": ["a=b"]\n}\n');
    expect(statSync(file).mode & 0o777).to.equal(0o640);
    expect(run().status).to.equal(0);
    expect(readFileSync(file, "utf8")).to.equal(written);

    await until("Dockline uses it", mountOptionsWork);
    const pod = await runPod(node, hostSandboxConfig(node));
    const id = await startContainer(
      node,
      pod,
      containerConfig("sleep 1000", {
        mounts: [{ hostPath: base, containerPath: "/v", mountOptions: ["noexec"] }],
      }),
    );
    expect(await shell(node, id, "grep ' /v ' /proc/mounts")).to.contain("noexec");

    const refused = run("--undo");
    expect(refused.status).to.equal(1);
    expect(refused.stderr).to.match(/1 containers run under dockline-oci \(k8s_main_/);
    expect(readFileSync(file, "utf8")).to.equal(written);
    await removePod(node, pod);
    expect(run("--undo").stderr).to.equal("");
    expect(registered()).to.not.contain("dockline");
    expect(JSON.parse(readFileSync(file, "utf8"))).to.deep.equal({
      "shutdown-timeout": 7,
      labels: ["a=b"],
    });
    await until("Dockline does without", async () => !(await mountOptionsWork()));
    engine.docker("rm", "-f", running);
  });

  for (const [what, text, args, message] of [
    ["a file that is no JSON", "{", [], /daemon\.json cannot be edited/],
    [
      "a name that is taken",
      '{"runtimes": {"dockline": {"path": "/usr/bin/other"}}}',
      [],
      /"dockline" is \/usr\/bin\/other, not dockline-oci/,
    ],
    ["a program that is not there", "{}", ["--binary=/nonexistent"], /no program that can be run/],
    ["a program that is another", "{}", ["--binary=/bin/false"], /does not run/],
    // dockerd takes a reload as a whole or not at all.
    ["a file that dockerd refuses", '{"log-level": 5}', [], /as it was before/],
  ] as const) {
    it(`says what is wrong with ${what}, and leaves the file as it was`, function () {
      this.timeout(60_000);
      writeFileSync(file, text);
      const done = run(...args);
      expect(done.status).to.equal(1);
      expect(done.stderr).to.match(message);
      expect(readFileSync(file, "utf8")).to.equal(text);
    });
  }

  it("names a wrong argument", () => {
    const done = run("--binary=relative");
    expect(done.status).to.equal(2);
    expect(done.stderr).to.contain("--binary must be absolute");
    expect(run("--nonesuch").status).to.equal(2);
  });
});
