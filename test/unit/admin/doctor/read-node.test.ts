import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readlinkSync, utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { expect } from "chai";
import { readDockerMounts } from "../../../../src/admin/doctor/read-mounts.ts";
import { readNri } from "../../../../src/admin/doctor/read-nri.ts";
import { readEdited, readOwed } from "../../../../src/admin/doctor/read-owed.ts";
import { sandboxName } from "../../../../src/convert/names.ts";
import type { ContainerSummary } from "../../../../src/engine/types.ts";
import { silentLogger } from "../../../../src/log.ts";
import { OwedEffects } from "../../../../src/state/owed-effects.ts";
import { SandboxRecords } from "../../../../src/state/sandbox-records.ts";
import type { SandboxRecord } from "../../../../src/state/sandbox-records.ts";
import { tempFolder } from "../../../support/temp-folder.ts";
import { peersOf } from "../../../../src/sys/mount-table.ts";

const id = (pair: string): string => pair.repeat(32);
const container = (pair: string, State: ContainerSummary["State"]): ContainerSummary =>
  ({ Id: id(pair), State }) as ContainerSummary;

describe("what the doctor reads of the node", () => {
  let folder: ReturnType<typeof tempFolder>;
  beforeEach(() => {
    folder = tempFolder();
  });
  afterEach(() => folder.remove());

  describe("of what is owed", () => {
    const places = (): { stateDir: string; runDir: string } => ({
      stateDir: folder.path("state"),
      runDir: folder.path("run"),
    });
    const record = (name: string, more: Partial<SandboxRecord> = {}): SandboxRecord => ({
      name: sandboxName({ name, namespace: "shop", uid: "u", attempt: 0 }),
      ...{ phase: "stopping", configHash: "", hostNetwork: false, config: "" },
      ...{ runtimeHandler: "", createdAtNs: "1", ips: [] },
      ...more,
    });

    it("is nothing where Dockline was never started", async () => {
      expect(await readOwed(places(), undefined)).to.deep.equal({
        pods: [],
        records: [],
        limits: [],
      });
    });

    it("is each pod whose CNI DEL fails, and each record that cannot be used", async () => {
      const { stateDir } = places();
      const records = await SandboxRecords.open(stateDir, silentLogger);
      await records.save(record("fine", { phase: "ready" }));
      await records.save(
        record("web", {
          ...{ network: { networkName: "net" }, ips: ["10.1.2.3"] },
          delFailure: "plugin portmap: exit status 1",
        }),
      );
      const at = (name: string): string => folder.path(`state/sandboxes/${name}`);
      writeFileSync(at("1.json.corrupt"), "{");
      writeFileSync(at("2.json"), "{");
      writeFileSync(at("3.json"), '{"version":2}');
      writeFileSync(at(".4.json.tmp"), "{");
      expect(await readOwed(places(), [])).to.deep.equal({
        pods: [
          {
            ...{ pod: "shop/web", network: "net", addresses: ["10.1.2.3"] },
            failure: "plugin portmap: exit status 1",
          },
        ],
        records: [
          { path: at("1.json.corrupt"), trouble: "damaged, put aside" },
          { path: at("2.json"), trouble: "damaged" },
          { path: at("3.json"), trouble: "of a newer version" },
        ],
        limits: [],
      });
    });

    it("is limits of containers that run, a minute after they were noted", async () => {
      const { runDir } = places();
      const owed = OwedEffects.open(runDir, silentLogger);
      for (const pair of ["aa", "bb", "cc"]) owed.oweLimits(id(pair), "start");
      owed.oweLimits(id("dd"), "update");
      owed.oweExec(id("ee"), id("aa"));
      // That one is being started just now.
      for (const name of [`start-${id("bb")}`, `start-${id("cc")}`, `update-${id("dd")}`]) {
        utimesSync(folder.path(`run/owed/${name}`), 1_000, 1_000);
      }
      const containers = [
        ...[container("aa", "running"), container("bb", "running"), container("cc", "exited")],
        container("dd", "running"),
      ];
      const nowMs = Date.now();
      expect(await readOwed(places(), containers, nowMs)).to.have.deep.property("limits", [
        id("bb"),
        id("dd"),
      ]);
      expect(await readOwed(places(), undefined, nowMs)).to.have.deep.property("limits", []);
    });

    it("has the containers of dockline-oci that there still are", async () => {
      const { runDir } = places();
      expect(await readEdited(runDir, [])).to.deep.equal([]);
      mkdirSync(folder.path("run/oci"), { recursive: true });
      for (const pair of ["aa", "bb"]) writeFileSync(folder.path(`run/oci/${id(pair)}.json`), "{}");
      mkdirSync(folder.path(`run/oci/${id("aa")}`));
      expect(await readEdited(runDir, [container("aa", "exited")])).to.deep.equal([id("aa")]);
    });
  });

  describe("of Docker's mounts", () => {
    const started: ChildProcess[] = [];
    after(() => started.forEach((child) => child.kill("SIGKILL")));
    /** A process in namespaces of its own, as a unit of systemd has them. */
    const inNamespace = async (...words: string[]): Promise<number> => {
      const script = "echo ready; exec sleep 1000";
      const child = spawn("unshare", [...words, "sh", "-c", script], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      started.push(child);
      await once(child.stdout, "data");
      return child.pid ?? 0;
    };

    it("is whether changes of the node reach it, and its own the node", async () => {
      // A node whose mounts are shared, as systemd makes them; this machine's may not be.
      const node = await inNamespace("--mount", "--propagation", "shared");
      const nodes = `/proc/${node}`;
      expect(readDockerMounts(node, nodes)).to.deep.equal({
        ...{ pid: node, propagation: "shared", snap: false },
      });
      const enter = (propagation: string): Promise<number> =>
        inNamespace(
          ...["--mount", "--propagation", "unchanged", "nsenter", "--target", String(node)],
          ...["--mount", "unshare", "--mount", "--propagation", propagation],
        );
      for (const [given, seen] of [
        ["unchanged", "shared"],
        ["slave", "slave"],
        ["private", "private"],
      ] as const) {
        const pid = await enter(given);
        expect(readlinkSync(`/proc/${pid}/ns/mnt`)).to.not.equal(readlinkSync(`${nodes}/ns/mnt`));
        expect(readDockerMounts(pid, nodes)?.propagation, given).to.equal(seen);
      }
      expect(readDockerMounts(4_194_305), "one that is gone").to.equal(undefined);
    });

    it("is that of the mount which holds the kubelet's folder", () => {
      const mountinfo = [
        "1 0 8:1 / / rw shared:1 - ext4 /dev/a rw",
        "2 1 8:2 / /var/lib rw shared:2 master:7 - ext4 /dev/b rw",
        "3 1 8:3 / /var/lib/kube rw shared:3 - ext4 /dev/c rw",
        "4 2 8:4 / /var/lib/kubelet/pods/x rw shared:4 - tmpfs t rw",
        "5 1 8:5 / /opt rw - ext4 /dev/d rw",
        "",
      ].join("\n");
      expect(peersOf(mountinfo, "/var/lib/kubelet")).to.deep.equal({ shared: "2", master: "7" });
      expect(peersOf(mountinfo, "/opt/x")).to.deep.equal({});
    });
  });

  it("of the NRI socket is who listens there", async () => {
    const path = folder.path("nri.sock");
    const config = { enableNri: true, nriListen: path };
    expect(await readNri({}, config)).to.deep.equal({ path, docker: false, enabled: true });
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      const { listener, docker } = await readNri({ nri: true }, config);
      expect(listener).to.match(new RegExp(`^\\S+ \\(pid ${process.pid}\\)$`));
      expect(docker).to.equal(true);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
    const listen = `require("node:net").createServer().listen("${path}", () => console.log("up"))`;
    const child = spawn(process.execPath, ["-e", listen, "dockline", "serve"]);
    try {
      await once(child.stdout, "data");
      const found = await readNri({}, config);
      expect(found).to.deep.equal({ path, docker: false, enabled: true, own: true });
    } finally {
      child.kill("SIGKILL");
    }
  });
});
