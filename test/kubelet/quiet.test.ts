import { expect } from "chai";
import { errorLines } from "./error-lines.ts";
import { startKubeletNode } from "./kubelet-node.ts";
import type { KubeletNode } from "./kubelet-node.ts";
import { idle, sh, sleep, staticPod } from "./rig.ts";

/** From DOCKLINE_TEST_KUBELET_MINUTES=3 on with as many pods as a node has. */
const minutes = Number(process.env["DOCKLINE_TEST_KUBELET_MINUTES"] ?? "1");
const long = minutes >= 3;
const pods = long ? 30 : 10;
const seconds = minutes * 60;
/** Six to ten execs a second in both forms: what the probes cost is the benchmark's business. */
const periodSeconds = long ? 10 : 2;

interface Histogram {
  count: number;
  /** Observations at or below this many seconds. */
  within(seconds: number): number;
}

function histogram(text: string, name: string): Histogram {
  const value = (sample: string): number =>
    Number(
      text
        .split("\n")
        .find((line) => line.startsWith(sample))
        ?.split(" ")
        .at(-1) ?? NaN,
    );
  return {
    count: value(`${name}_count`),
    within: (limit) => value(`${name}_bucket{le="${limit}"}`),
  };
}

const relistSeconds = "kubelet_pleg_relist_duration_seconds";
const late = (histogram: Histogram): number => histogram.count - histogram.within(5);

describe("a kubelet with exec probes on every pod", function () {
  this.timeout((seconds + 180) * 1000);
  let rig: KubeletNode;

  before(async function () {
    this.timeout(600_000);
    rig = await startKubeletNode({ port: 10_390 });
    const probe = { exec: { command: ["true"] }, periodSeconds, timeoutSeconds: 5 };
    for (let number = 0; number < pods; number += 1) {
      rig.kubelet.addPod(
        `probed-${number}`,
        staticPod(`probed-${number}`, {
          containers: [sh("main", idle, { livenessProbe: probe, readinessProbe: probe })],
        }),
      );
    }
  });
  after(async function () {
    this.timeout(180_000);
    await rig.close();
  });

  it(`${pods} pods for ${seconds} s: no error line about the runtime, no late relist, no restart`, async () => {
    const { kubelet } = rig;
    for (let number = 0; number < pods; number += 1)
      await kubelet.ready(`probed-${number}`, 120_000);
    // While all pods start at once on a small machine the engine itself takes seconds to answer.
    const start = histogram(await kubelet.metrics(), relistSeconds);
    await sleep(seconds * 1000);
    for (let number = 0; number < pods; number += 1) {
      const container = await kubelet.container(`probed-${number}`, "main");
      expect(container).to.include({ restartCount: 0, ready: true });
    }
    expect(errorLines(kubelet.log())).to.deep.equal([]);
    const metrics = await kubelet.metrics();
    const failed = metrics
      .split("\n")
      .filter((line) => line.startsWith("kubelet_runtime_operations_errors_total{"))
      // Asked for containers of an earlier run, see errorLines.
      .filter((line) => !line.includes('operation_type="container_status"'));
    expect(failed).to.deep.equal([]);
    const probes = metrics
      .split("\n")
      .filter((line) => /^prober_probe_total\{.*result="(failed|unknown)"/.test(line));
    // A readiness probe may come before the process is there; afterwards none fails.
    expect(probes.filter((line) => line.includes("Liveness"))).to.deep.equal([]);
    // The kubelet calls PLEG unhealthy after three minutes; a relist a second is its normal pace.
    const relist = histogram(metrics, relistSeconds);
    expect(relist.count - start.count).to.be.at.least(seconds * 0.5);
    expect(late(relist) - late(start), "relists over five seconds").to.equal(0);
  });
});
