import { execFile, execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { until } from "../support/until.ts";

// After guide.test.ts, which switches the gate PodAndContainerStatsFromCRI on: without it a kubelet of 1.37 has no figures to tell.

const exec = promisify(execFile);
async function kubectl(...args: string[]): Promise<string> {
  return (await exec("kubectl", args, { timeout: 60_000, maxBuffer: 1 << 24 })).stdout.trim();
}

const port = 10_444;
const service = (address: string): string => `
apiVersion: v1
kind: Service
metadata: { name: metrics-server, namespace: kube-system }
spec: { ports: [{ port: 443, targetPort: ${port} }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: metrics-server
  namespace: kube-system
  labels: { kubernetes.io/service-name: metrics-server }
addressType: IPv4
ports: [{ port: ${port}, protocol: TCP }]
endpoints: [{ addresses: ["${address}"] }]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: { name: v1beta1.metrics.k8s.io }
spec:
  service: { name: metrics-server, namespace: kube-system }
  group: metrics.k8s.io
  version: v1beta1
  insecureSkipTLSVerify: true
  groupPriorityMinimum: 100
  versionPriority: 100
`;

/** "12m" and "34Mi" of a line of `kubectl top`. */
function figuresOf(line: string): { milliCores: number; mebibytes: number } {
  const [, cores, bytes] = /\s(\d+)m\s+(\d+)Mi/.exec(line) ?? [];
  return { milliCores: Number(cores), mebibytes: Number(bytes) };
}

describe("kubectl top, by metrics-server", function () {
  this.timeout(240_000);
  const folder = mkdtempSync(join(tmpdir(), "dockline-top-"));
  let server: ChildProcess | undefined;
  let said = "";

  before(async function () {
    try {
      execFileSync("metrics-server", ["--version"], { stdio: "ignore" });
    } catch {
      // Built with the programs of Kubernetes' own suite only.
      this.skip();
    }
    const address = await kubectl(
      ...["get", "node", "node1", "--output"],
      "jsonpath={.status.addresses[?(@.type=='InternalIP')].address}",
    );
    const config = "/etc/kubernetes/admin.conf";
    server = spawn(
      "metrics-server",
      [
        `--secure-port=${port}`,
        `--cert-dir=${folder}`,
        "--kubelet-insecure-tls",
        ...["--metric-resolution=10s", "--kubelet-request-timeout=5s"],
        ...["", "authentication-", "authorization-"].map((what) => `--${what}kubeconfig=${config}`),
      ],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    server.stderr!.on("data", (chunk: Buffer) => (said += chunk.toString()));
    const file = join(folder, "service.yaml");
    writeFileSync(file, service(address));
    await kubectl("apply", "--filename", file);
  });
  after(async () => {
    if (server !== undefined) {
      const file = join(folder, "service.yaml");
      await kubectl("delete", "--ignore-not-found", "--wait=false", "--filename", file);
      server.kill();
    }
    rmSync(folder, { recursive: true, force: true });
  });

  it("shows every pod and container of kube-system, and the node, with figures of their size", async () => {
    const names = (
      await kubectl(
        ...["--namespace", "kube-system", "get", "pods", "--output"],
        "jsonpath={range .items[*].status.containerStatuses[*]}{.name}{'\\n'}{end}",
      )
    ).split("\n");
    let shown: string[] = [];
    await until(async () => {
      const args = ["top", "pod", "--containers", "--no-headers", "--namespace", "kube-system"];
      shown = (await kubectl(...args).catch(() => "")).split("\n").filter((line) => line !== "");
      return shown.length === names.length;
    }, 120_000).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${shown.join("\n")}\n${said.slice(-2_000)}`);
    });
    expect(shown.map((line) => line.trim().split(/\s+/)[1]).sort()).to.deep.equal(names.sort());
    const api = figuresOf(shown.find((line) => line.includes(" kube-apiserver "))!);
    expect(api.milliCores).to.be.within(1, 2_000);
    expect(api.mebibytes).to.be.within(50, 4_000);
    const node = await kubectl("top", "node", "--no-headers");
    expect(node).to.match(/^node1\s+\d+m\s+\d+%\s+\d+Mi\s+\d+%/);
  });
});
