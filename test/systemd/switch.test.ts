import { randomUUID } from "node:crypto";
import { existsSync, lstatSync, readFileSync, readlinkSync, readdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import type { DockerEngine } from "../../src/engine/docker-engine.ts";
import { identities } from "../kubelet/kubelet-node.ts";
import { idle, namespace, sh, sleep, staticPod, within } from "../kubelet/rig.ts";
import type { PodView } from "../kubelet/rig.ts";
import { seen } from "../support/seen.ts";
import { makeCriDockerdPod } from "../takeover/cri-dockerd-pod.ts";
import {
  breakService,
  criDockerdSocket,
  docklineSocket,
  journal,
  kubelet,
  kubeletFlags,
  mainPid,
  makeNode,
  migrate,
  needLane,
  places,
  runningContainers,
  systemctl,
  unitStates,
} from "./switch-node.ts";

const talk = "n=0; while :; do n=$((n + 1)); echo tick $n; sleep 1; done";
const onCriDockerd = {
  "cri-docker.socket": "active enabled",
  "cri-docker.service": "active enabled",
  "dockline.socket": "inactive disabled",
  "dockline.service": "inactive disabled",
  "kubelet.service": "active enabled",
};
const onDockline = {
  "cri-docker.socket": "inactive disabled",
  "cri-docker.service": "inactive disabled",
  "dockline.socket": "active enabled",
  "dockline.service": "active enabled",
  "kubelet.service": "active enabled",
};
const from = ["--from", "cri-dockerd", "--kubelet-flags", kubeletFlags];
const back = ["--back", "--kubelet-flags", kubeletFlags];

/** A node whose services are systemd's goes from cri-dockerd to Dockline, back, and to Dockline again. */
describe("the switch of a node under systemd @systemd", function () {
  this.timeout(200_000);
  let docker: DockerEngine;
  let pods: string[] = ["web", "host"];
  let containers: Record<string, string>;
  let known: Record<string, string>;

  const flags = (): string => readFileSync(kubeletFlags, "utf8");
  /** What the kubelet has of every pod, once it has looked at all of them. */
  const views = async (): Promise<Record<string, string>> => {
    const found: PodView[] = [];
    for (const name of pods) found.push(await kubelet.ready(name, 90_000));
    return identities(found);
  };
  /** The kubelet is up with the endpoint, and two of its sync periods later all is as it was. */
  const expectUndisturbed = async (endpoint: string): Promise<void> => {
    const pid = mainPid("kubelet.service");
    const line = readFileSync(`/proc/${pid}/cmdline`, "utf8");
    expect(line).to.contain(`--container-runtime-endpoint=${endpoint}\0`);
    await within(60_000, "kubelet", () => kubelet.pod("web").catch(() => undefined));
    await views();
    await sleep(7_000);
    expect(await views()).to.deep.equal(known);
    expect(await runningContainers(docker)).to.deep.equal(containers);
    expect(mainPid("kubelet.service")).to.equal(pid);
    for (const [name, description] of Object.entries(known)) {
      expect(description, name).to.contain(" restarts 0 ");
    }
  };
  const expectLogGoesOn = async (name: string): Promise<void> => {
    const last = async (): Promise<number> =>
      Number((await kubelet.logs(name, "main", "?tailLines=1")).split(" ")[1]);
    const first = await last();
    await within(20_000, "more lines", async () => ((await last()) > first ? true : undefined));
    const lines = (await kubelet.logs(name, "main")).split("\n").slice(0, -1);
    expect(lines).to.deep.equal(lines.map((_, at) => `tick ${at + 1}`));
  };
  /** Nobody listens on Dockline's socket, and nobody is woken by who tries. */
  const expectNobodyAt = async (endpoint: string): Promise<void> => {
    const path = endpoint.replace("unix://", "");
    const error = await new Promise<unknown>((resolve) => {
      const socket = connect(path, () => {
        socket.destroy();
        resolve(undefined);
      }).once("error", resolve);
    });
    expect((error as NodeJS.ErrnoException | undefined)?.code).to.be.oneOf([
      "ENOENT",
      "ECONNREFUSED",
    ]);
  };

  before(async () => {
    needLane();
    docker = await makeNode();
    for (const name of pods) {
      const uid = randomUUID();
      const shell = name === "web" ? talk : idle;
      const hostNetwork = name === "host";
      await makeCriDockerdPod(docker, places, {
        line: "0.3",
        name: `${name}-127.0.0.1`,
        namespace,
        uid,
        hostNetwork,
        containers: [{ name: "main", shell }],
      });
      kubelet.addPod(
        name,
        staticPod(name, { hostNetwork, containers: [sh("main", shell)] }, { uid }),
      );
    }
    containers = await runningContainers(docker);
    systemctl("enable", "--now", "kubelet.service");
    await within(60_000, "kubelet", () => kubelet.pod("web").catch(() => undefined));
    known = await views();
  });
  afterEach(function () {
    if (this.currentTest?.state === "failed") process.stderr.write(journal());
  });
  after(() => {
    systemctl("disable", "--now", "kubelet.service", "dockline.socket", "dockline.service");
    docker.close();
  });

  it("is only shown without --apply", async () => {
    expect(unitStates()).to.deep.equal(onCriDockerd);
    expect(await runningContainers(docker)).to.deep.equal(containers);
    const look = (): unknown => ({
      units: unitStates(),
      pids: [mainPid("kubelet.service"), mainPid("cri-docker.service")],
      flags: flags(),
      files: ["/var/lib/kubelet", "/var/lib/cri-dockerd/sandbox", "/var/lib/dockline"].map(
        (folder) => (existsSync(folder) ? readdirSync(folder).sort() : []),
      ),
    });
    const before = look();
    const { code, out } = migrate(...from);
    expect(code, out).to.equal(0);
    expect(out).to.contain("2 pods of another runtime (2 running; checkpoints: 2 cri-dockerd");
    expect(out).to.contain("systemctl disable --now cri-docker.socket cri-docker.service");
    expect(look()).to.deep.equal(before);
  });

  it("gives the pods to Dockline as they are, over a Dockline that does not start at first", async () => {
    const before = flags();
    const broken = breakService("dockline.service", "Environment=DOCKLINE_LOG_LEVEL=loud");
    const failed = migrate(...from, "--apply");
    expect(failed.code, failed.out).to.equal(1);
    expect(failed.err).to.match(/step 3 \(start Dockline\) failed: .*dockline\.service/);
    expect(failed.err).to.contain("dockline.service wrote: dockline: DOCKLINE_LOG_LEVEL=loud");
    expect(failed.err).to.contain("run the same command again");
    expect(flags()).to.equal(before);
    expect(unitStates()).to.include({
      "cri-docker.socket": "inactive disabled",
      "cri-docker.service": "inactive disabled",
      "kubelet.service": "inactive enabled",
    });
    expect(await runningContainers(docker)).to.deep.equal(containers);

    broken.mend();
    const { code, out, err } = migrate(...from, "--apply");
    expect(code, out + err).to.equal(0);
    expect(unitStates()).to.deep.equal(onDockline);
    expect(flags()).to.equal(before.replace(criDockerdSocket, docklineSocket));
    expect(readFileSync(`${kubeletFlags}.before-dockline`, "utf8")).to.equal(before);
    await expectUndisturbed(docklineSocket);
    await expectLogGoesOn("web");
  });

  it("changes nothing where all is done", () => {
    const pids = [mainPid("kubelet.service"), mainPid("dockline.service")];
    const { code, out, err } = migrate(...from, "--apply");
    expect(code, out + err).to.equal(0);
    expect(out).to.not.contain("       done: ");
    expect(unitStates()).to.deep.equal(onDockline);
    expect([mainPid("kubelet.service"), mainPid("dockline.service")]).to.deep.equal(pids);
  });

  it("gives them back with a pod of Dockline's, over a step that fails in between", async () => {
    kubelet.addPod("fresh", staticPod("fresh", { containers: [sh("main", talk)] }));
    pods = [...pods, "fresh"];
    known = await views();
    containers = await runningContainers(docker);
    const log = logOf("fresh");
    expect(lstatSync(log).isFile()).to.equal(true);

    systemctl("stop", "kubelet.service", "dockline.socket", "dockline.service");
    const broken = breakService("cri-docker.service", "ExecStartPre=/bin/false");
    const failed = migrate(...back, "--apply");
    expect(failed.code, failed.out).to.equal(1);
    expect(failed.err).to.match(/step 4 \(start cri-dockerd\) failed: .*cri-docker\.service/);
    expect(failed.err).to.contain("run the same command again");
    expect(unitStates()).to.include({
      "dockline.socket": "inactive disabled",
      "dockline.service": "inactive disabled",
      "kubelet.service": "inactive enabled",
    });
    // Until systemd refuses another start: that too is the command's to get over.
    await within(60_000, "start limit", () =>
      unitStates()["cri-docker.service"]?.startsWith("failed") ? true : undefined,
    );
    broken.mend();
    const done = migrate(...back, "--apply");
    expect(done.code, done.out + done.err).to.equal(0);
    expect(done.out).to.contain("handed back already");
    expect(unitStates()).to.deep.equal(onCriDockerd);
    await expectNobodyAt(docklineSocket);
    expect(unitStates()).to.deep.equal(onCriDockerd);
    expect(readlinkSync(log)).to.contain("-json.log");
    await expectUndisturbed(criDockerdSocket);
    await expectLogGoesOn("fresh");
  });

  it("takes them again, and what the hand-back wrote", async () => {
    const began = performance.now();
    const { code, out, err } = migrate(...from, "--apply");
    seen("the switch to Dockline, s", ((performance.now() - began) / 1000).toFixed(1), "none");
    expect(code, out + err).to.equal(0);
    expect(unitStates()).to.deep.equal(onDockline);
    expect(lstatSync(logOf("fresh")).isFile()).to.equal(true);
    await expectUndisturbed(docklineSocket);
    await expectLogGoesOn("fresh");
  });
});

/** Where the kubelet has a pod's one log. */
function logOf(name: string): string {
  const folder = readdirSync(places.podLogs).find((found) =>
    found.startsWith(`${namespace}_${name}-`),
  );
  return join(places.podLogs, folder ?? name, "main", "0.log");
}
