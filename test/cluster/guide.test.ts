import { execFile } from "node:child_process";
import { existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { findProcesses } from "../../src/admin/migrate-node.ts";
import { until } from "../support/until.ts";

// docs/install.md and docs/migration.md on a node of kubeadm 1.37, as far as no init system is needed: the node's own loop starts
// the kubelet again. What stands for cri-dockerd is its socket, which leads to Dockline: to kubelet and kubeadm it is another runtime.

const root = join(import.meta.dirname, "..", "..");
const ours = "unix:///run/dockline/dockline.sock";
const theirs = "unix:///var/run/cri-dockerd.sock";
const config = "/var/lib/kubelet/config.yaml";
const instance = "/var/lib/kubelet/instance-config.yaml";

const exec = promisify(execFile);
async function run(program: string, ...args: string[]): Promise<string> {
  const options = { timeout: 170_000, maxBuffer: 1 << 26, cwd: root };
  return (await exec(program, args, options)).stdout;
}
const raw = (page: string): Promise<string> =>
  run("kubectl", "get", "--raw", `/api/v1/nodes/node1/proxy${page}`);
/** Also for exit codes other than 0. */
async function dockline(...args: string[]): Promise<{ code: number; out: string }> {
  try {
    return { code: 0, out: await run(join(root, "bin", "dockline"), ...args) };
  } catch (error) {
    const { code, stdout } = error as { code?: number; stdout?: string };
    return { code: code ?? -1, out: stdout ?? "" };
  }
}

const kubeletPid = (): number | undefined => findProcesses("kubelet")[0]?.pid;
async function restartKubelet(endpoint: string): Promise<void> {
  const before = kubeletPid();
  if (before !== undefined) process.kill(before);
  await until(async () => {
    if (kubeletPid() === before) return false;
    const found = await raw("/configz").catch(() => "{}");
    const { kubeletconfig } = JSON.parse(found) as {
      kubeletconfig?: { containerRuntimeEndpoint?: string };
    };
    return kubeletconfig?.containerRuntimeEndpoint === endpoint;
  }, 60_000);
  await until(async () => {
    const path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
    return (await run("kubectl", "get", "node", "node1", "--output", path)) === "True";
  }, 60_000);
}

/** A node of cri-dockerd, as kubeadm 1.37 makes it. */
async function becomeTheirs(): Promise<void> {
  if (!existsSync("/run/cri-dockerd.sock")) symlinkSync(ours.slice(7), "/run/cri-dockerd.sock");
  writeFileSync(config, readFileSync(config, "utf8").replaceAll(ours, theirs));
  writeFileSync(instance, `containerRuntimeEndpoint: "${theirs}"\n`);
  await restartKubelet(theirs);
}

/** Each container of kube-system with its restarts. */
const containers = async (): Promise<string> =>
  await run(
    ...(["kubectl", "--namespace", "kube-system", "get", "pods", "--output"] as const),
    "jsonpath={range .items[*].status.containerStatuses[*]}{.containerID} {.restartCount}{'\\n'}{end}",
  );

/** The fenced block of a page that has these words. */
function blockOf(page: string, words: string): string {
  const text = readFileSync(join(root, "docs", page), "utf8");
  const blocks = [...text.matchAll(/```(?:sh|yaml)\n(.*?)```/gs)].map(([, block = ""]) => block);
  const found = blocks.find((block) => block.includes(words));
  if (found === undefined) throw new Error(`docs/${page}: no block with ${words}`);
  return found;
}

describe("a node of kubeadm by the guide", function () {
  this.timeout(240_000);
  let first: string;

  before(async function () {
    if (process.env["DOCKLINE_CLUSTER_RUNTIME"] !== "dockline") this.skip();
    first = await containers();
  });
  after(() => rmSync("/run/cri-dockerd.sock", { force: true }));

  it("is found on another runtime, and pointed at Dockline by the guide's own lines", async () => {
    await becomeTheirs();
    const found = await dockline("doctor");
    expect(found.code, found.out).to.equal(2);
    expect(found.out).to.contain("ERROR kubelet-endpoint").and.to.contain(config);
    const lines = blockOf("install.md", "instance-config.yaml").split("\n");
    await run("sh", "-ec", lines.filter((line) => !line.startsWith("systemctl")).join("\n"));
    for (const file of [config, instance]) {
      expect(readFileSync(file, "utf8")).to.match(
        /^containerRuntimeEndpoint: "?unix:\/\/\/run\/dockline\/dockline\.sock"?$/m,
      );
    }
    await restartKubelet(ours);
  });

  it("is switched by dockline migrate, without a word of an annotation", async () => {
    await becomeTheirs();
    const { code, out } = await dockline("migrate", "--from", "cri-dockerd", "--apply");
    expect(code, out).to.equal(0);
    expect(out).to.contain(`the kubelet (1.37) has its runtime ${theirs} from ${config}`);
    expect(out).to.contain(`edit ${config}`).and.to.contain(`edit ${instance}`);
    expect(out).to.not.contain("kubectl annotate");
    await restartKubelet(ours);
    rmSync("/run/cri-dockerd.sock");
  });

  it("stays so over kubeadm upgrade node, with the gate from the cluster's configuration", async () => {
    const gate = blockOf("install.md", "PodAndContainerStatsFromCRI").replace(
      /^.*(?=^feature)/ms,
      "",
    );
    const space = ["--namespace", "kube-system"];
    const path = "jsonpath={.data.kubelet}";
    const shared = await run("kubectl", ...space, "get", "configmap", "kubelet-config", "-o", path);
    const patch = JSON.stringify({ data: { kubelet: `${shared.trimEnd()}\n${gate}` } });
    await run("kubectl", ...space, "patch", "configmap", "kubelet-config", "--patch", patch);
    await run("kubeadm", "upgrade", "node", "--ignore-preflight-errors=all");
    expect(readFileSync(config, "utf8"))
      .to.contain(`containerRuntimeEndpoint: ${ours}\n`)
      .and.to.contain("PodAndContainerStatsFromCRI: true");
    await restartKubelet(ours);
    expect(await containers()).to.equal(first);
  });

  it("has the figures of each pod and container in the kubelet's three pages", async () => {
    const pods = ["coredns", "etcd", "kube-apiserver", "kube-proxy"];
    await until(async () => {
      const page = await raw("/metrics/resource").catch(() => "");
      return pods.every((name) => page.includes(`container="${name}"`));
    }, 60_000);
    const resource = await raw("/metrics/resource");
    expect(resource).to.match(/^resource_scrape_error 0$/m);

    const etcd = findProcesses("etcd")[0]!.pid;
    const group = /^\d+:memory:(.*)$/m.exec(readFileSync(`/proc/${etcd}/cgroup`, "utf8"))?.[1];
    const usage = (): number =>
      Number(readFileSync(`/sys/fs/cgroup/memory${group}/memory.usage_in_bytes`, "utf8"));
    const summary = JSON.parse(await raw("/stats/summary")) as {
      pods: {
        podRef: { name: string };
        network?: { rxBytes: number };
        containers: {
          name: string;
          memory: { usageBytes: number };
          rootfs: { usedBytes: number };
        }[];
      }[];
    };
    const told = summary.pods
      .flatMap(({ containers: all }) => all)
      .find(({ name }) => name === "etcd");
    expect(told?.memory.usageBytes).to.be.within(usage() * 0.8, usage() * 1.2);
    const dns = summary.pods.filter(({ podRef }) => podRef.name.startsWith("coredns"));
    expect(dns).to.have.length(2);
    for (const pod of dns) {
      expect(pod.network?.rxBytes).to.be.greaterThan(1000);
      expect(pod.containers[0]?.rootfs.usedBytes).to.be.a("number");
    }

    const page = await raw("/metrics/cadvisor");
    for (const name of pods) {
      expect(page).to.match(
        new RegExp(
          `^container_memory_working_set_bytes{container="${name}",.*pod="${name}-.*"} [1-9]`,
          "m",
        ),
      );
    }
    expect(page).to.match(
      /^container_network_receive_bytes_total{.*interface="eth0".*pod="coredns-.*"} [1-9]/m,
    );
  });

  it("has no error for the doctor", async () => {
    const { code, out } = await dockline("doctor", "--json");
    const { findings } = JSON.parse(out) as { findings: { check: string; level: string }[] };
    expect(findings.filter(({ level }) => level === "error")).to.deep.equal([]);
    expect(code).to.be.below(2);
    const level = (name: string): string | undefined =>
      findings.find(({ check }) => check === name)?.level;
    for (const check of ["kubelet-endpoint", "kubeadm-endpoint", "kubelet-series"]) {
      expect(level(check), check).to.equal("ok");
    }
  });
});
