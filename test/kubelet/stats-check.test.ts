import { basename } from "node:path";
import { expect } from "chai";
import { removeCgroup } from "../support/cgroup-truth.ts";
import { startKubeletAside } from "../support/kubelet.ts";
import { startSink } from "../support/sink.ts";
import type { Sink } from "../support/sink.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { removeAllPods } from "../support/pods.ts";
import { busybox } from "../support/test-images.ts";

const limit = 128 << 20;
const cached = 32 << 20;
/** Less than was cached: the kernel may have taken some of it back. */
const inMemory = 24 << 20;
const sent = 8 << 20;

/** A static pod gets the node's name behind its own. */
const podName = "load-127.0.0.1";

/** Keeps a file in the page cache, sends to a server on the node, then idles. */
const manifest = (sink: number): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "load", namespace: "figures", labels: { app: "load" } },
  spec: {
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: "worker",
        image: busybox,
        imagePullPolicy: "Never",
        command: ["sh", "-c"],
        args: [
          [
            `dd if=/dev/zero of=/cached bs=1M count=${cached >> 20} 2>/dev/null`,
            "cat /cached /cached >/dev/null",
            "gateway=$(ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p')",
            `dd if=/dev/zero bs=1024 count=${sent >> 10} 2>/dev/null | nc $gateway ${sink}`,
            "while :; do sleep 1; done",
          ].join("; "),
        ],
        resources: { limits: { memory: String(limit), cpu: "500m" } },
      },
    ],
  },
});

interface Series {
  labels: Record<string, string>;
  value: number;
}

interface Summary {
  pods: {
    podRef: { name: string; namespace: string };
    network?: { name: string; rxBytes: number; txBytes: number };
    memory?: { workingSetBytes: number; usageBytes: number };
    cpu?: { usageNanoCores: number };
    process_stats?: { process_count: number };
    containers: {
      name: string;
      memory: { workingSetBytes: number; usageBytes: number };
      rootfs?: { usedBytes: number; inodesUsed: number };
    }[];
  }[];
}

/** The exposition text's samples of one series that belong to our pod. */
function seriesOf(text: string, name: string): Series[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith(`${name}{`))
    .map((line) => ({
      labels: Object.fromEntries(
        [...line.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key ?? "", value ?? ""]),
      ),
      value: Number(
        line
          .slice(line.lastIndexOf("}") + 1)
          .trim()
          .split(" ")[0],
      ),
    }))
    .filter(({ labels }) => labels["pod"] === podName && labels["namespace"] === "figures");
}

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + 90_000;
  let last: unknown;
  for (;;) {
    // The kubelet closes idle connections, now and then under a request.
    const found = await look().catch((error: unknown) => {
      last = error;
      return undefined;
    });
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`no ${what} after 90 s`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

interface Road {
  name: string;
  release: "newest" | "oldest";
  port: number;
  gate?: true;
  /** Where cAdvisor in the kubelet gets our façade from. */
  facade?: "flag" | "default path";
}

const roads: Road[] = [
  { name: "1.37, the CRI's by the gate", release: "newest", port: 10_310, gate: true },
  { name: "1.37, as it comes", release: "newest", port: 10_320 },
  {
    name: "1.37, cAdvisor by the façade where no containerd is",
    release: "newest",
    port: 10_330,
    facade: "default path",
  },
  { name: "1.34, the CRI's by the gate", release: "oldest", port: 10_340, gate: true },
  { name: "1.34, cAdvisor by the façade", release: "oldest", port: 10_350, facade: "flag" },
];

for (const road of roads) {
  describe(`a kubelet's figures: ${road.name}`, () => {
    let node: TestNode;
    let kubelet: Awaited<ReturnType<typeof startKubeletAside>> | undefined;
    let sink: Sink;

    before(async function () {
      this.timeout(600_000);
      node = await startNode();
      sink = await startSink();
      const facade = `${node.folder}/run/containerd.sock`;
      kubelet = await startKubeletAside({
        endpoint: node.endpoint,
        port: road.port,
        release: road.release,
        settings: road.gate ? ["featureGates:{PodAndContainerStatsFromCRI: true}"] : [],
        args: road.facade === "flag" ? [`--containerd=${facade}`] : [],
        ...(road.facade === "default path" ? { containerdAtDefault: facade } : {}),
      });
      kubelet.addPod("load", manifest(sink.port));
    });
    after(async function () {
      this.timeout(120_000);
      await kubelet?.stop();
      await removeAllPods(node);
      if (kubelet !== undefined) {
        removeCgroup(`/${basename(kubelet.folder).replace("-kubelet", "")}`);
      }
      sink.close();
      await node.close();
    });

    it("gives metrics-server each container and pod, without an error", async function () {
      // Under the gate 1.34 and 1.35 have pods there and no container, on every runtime.
      if (road.release === "oldest" && road.gate === true) this.skip();
      const page = await until("resources of the load", async () => {
        const text = await kubelet!.get("/metrics/resource");
        const [worker] = seriesOf(text, "container_memory_working_set_bytes");
        const [pod] = seriesOf(text, "pod_memory_working_set_bytes");
        const [cpu] = seriesOf(text, "pod_cpu_usage_seconds_total");
        const both = (worker?.value ?? 0) > 1 << 20 && (pod?.value ?? 0) > 1 << 20;
        return both && (cpu?.value ?? 0) > 0 ? text : undefined;
      });
      const [worker] = seriesOf(page, "container_memory_working_set_bytes");
      expect(worker?.labels).to.include({ container: "worker" });
      expect(worker?.value).to.be.below(limit);
      expect(seriesOf(page, "container_cpu_usage_seconds_total")[0]?.value).to.be.within(0.01, 30);
      expect(page).to.match(/^(?:resource_)?scrape_error 0$/m);
      print(road.name, [worker, ...seriesOf(page, "pod_memory_working_set_bytes")]);
    });

    if (road.gate === undefined && road.facade === undefined) {
      it("has no container and no network, and the summary's pods have figures all the same", async () => {
        const pod = await until("summary of the load", async () => {
          const { pods } = JSON.parse(await kubelet!.get("/stats/summary")) as Summary;
          const found = pods.find(({ podRef }) => podRef.name === podName);
          return (found?.containers[0]?.rootfs?.usedBytes ?? 0) >= cached ? found : undefined;
        });
        expect(pod).to.not.have.any.keys("network", "process_stats");
        expect(pod.memory?.usageBytes).to.be.at.least(inMemory);
        expect(pod.containers[0]?.memory.usageBytes).to.be.at.least(inMemory);
        const page = await kubelet!.get("/metrics/cadvisor");
        // The pod's own cgroup alone, whose name the kubelet itself can tell.
        const use = seriesOf(page, "container_memory_usage_bytes");
        expect(use.map(({ labels }) => labels["container"])).to.deep.equal([""]);
        expect(use[0]?.value).to.be.at.least(inMemory);
        expect(page).to.not.match(/^container_\w+\{container="[^"]/m);
        expect(seriesOf(page, "container_network_transmit_bytes_total")).to.deep.equal([]);
        print(road.name, [pod, sizes(page)]);
      });
      return;
    }

    it("gives series with pod, namespace, container and image, and the pod's network", async () => {
      const page = await until("network of the load", async () => {
        const text = await kubelet!.get("/metrics/cadvisor");
        const tx = seriesOf(text, "container_network_transmit_bytes_total");
        const use = seriesOf(text, "container_memory_usage_bytes");
        const worker = use.find(({ labels }) => labels["container"] === "worker");
        const done = tx.some(({ value }) => value >= sent) && (worker?.value ?? 0) >= inMemory;
        return done ? text : undefined;
      });
      const cpu = seriesOf(page, "container_cpu_usage_seconds_total");
      const own = cpu.find(({ labels }) => labels["container"] === "worker");
      expect(own?.labels).to.include({ pod: podName, namespace: "figures", container: "worker" });
      expect(own?.labels["image"]).to.match(/busybox/);

      const tx = seriesOf(page, "container_network_transmit_bytes_total");
      expect(tx).to.have.length(1);
      expect(tx[0]?.labels).to.include({ interface: "eth0", container: "" });
      expect(tx[0]?.value).to.be.within(sent, sent * 1.1);

      const memory = seriesOf(page, "container_memory_working_set_bytes");
      const use = seriesOf(page, "container_memory_usage_bytes");
      const worker = ({ labels }: Series): boolean => labels["container"] === "worker";
      expect(memory.find(worker)?.value).to.be.below(limit);
      const limits = seriesOf(page, "container_spec_memory_limit_bytes");
      expect(limits.find(worker)?.value).to.equal(limit);
      print(road.name, [
        own,
        tx[0],
        use.find(worker),
        memory.find(worker),
        labelsOf(page),
        sizes(page),
      ]);
    });

    it("gives the pod's network, memory and processes in the summary", async () => {
      const pod = await until("summary of the load", async () => {
        const { pods } = JSON.parse(await kubelet!.get("/stats/summary")) as Summary;
        const found = pods.find(({ podRef }) => podRef.name === podName);
        const [worker] = found?.containers ?? [];
        const network = (found?.network?.txBytes ?? 0) >= sent;
        const layer = (worker?.rootfs?.usedBytes ?? 0) >= cached;
        // cAdvisor looks at the pod's own cgroup in turns of its own: it may have seen it empty last.
        const memory = (found?.memory?.usageBytes ?? 0) >= inMemory;
        return network && layer && memory && found?.cpu?.usageNanoCores !== undefined
          ? found
          : undefined;
      });
      expect(pod.network?.name).to.equal("eth0");
      expect(pod.network?.txBytes).to.be.within(sent, sent * 1.1);
      expect(pod.memory?.usageBytes).to.be.at.least(inMemory);
      const [worker] = pod.containers;
      expect(worker?.memory.workingSetBytes).to.be.at.most(worker?.memory.usageBytes ?? 0);
      expect(worker?.rootfs?.usedBytes).to.be.within(cached, cached + (1 << 20));
      print(road.name, [pod]);
    });
  });
}

/** Lines of the page, and those of our pod. */
const sizes = (page: string): object => ({
  lines: page.split("\n").filter((line) => line.startsWith("container_")).length,
  ours: page.split("\n").filter((line) => line.includes(`pod="${podName}"`)).length,
});

/** Each series of our pod: its labels, by name. */
function labelsOf(page: string): Record<string, string> {
  const names = new Set(page.match(/^[a-z]\w*(?=\{)/gm));
  return Object.fromEntries(
    [...names].flatMap((name) =>
      seriesOf(page, name)
        .slice(0, 1)
        .map(({ labels }) => [name, Object.keys(labels).join(" ")]),
    ),
  );
}

/** For the tables in docs/metrics.md. */
function print(road: string, figures: unknown[]): void {
  if (process.env["DOCKLINE_TEST_PRINT"] === undefined) return;
  for (const figure of figures) process.stdout.write(`${road}: ${JSON.stringify(figure)}\n`);
}
