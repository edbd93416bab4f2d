import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { ContainerState, PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { freePort } from "../support/registry.ts";
import { identities, startKubeletNode } from "./kubelet-node.ts";
import type { KubeletNode } from "./kubelet-node.ts";
import { idle, sh, sleep, staticPod, within } from "./rig.ts";
import type { KubeletApi } from "./rig.ts";

const shared = { volumeMounts: [{ name: "data", mountPath: "/data" }] };
const httpGet = { httpGet: { path: "/index.html", port: 8080 } };
const every = (seconds: number, more: object = {}): object => ({
  periodSeconds: seconds,
  failureThreshold: 1,
  ...more,
});

/** Pods of all kinds at once on one kubelet: each test waits for its own. */
describe("a kubelet's pods", function () {
  this.timeout(150_000);
  let rig: KubeletNode;
  let kubelet: KubeletApi;
  let hostFolder: string;
  let hostPort: number;

  before(async function () {
    this.timeout(600_000);
    hostFolder = mkdtempSync(join(tmpdir(), "dockline-volume-"));
    hostPort = await freePort("0.0.0.0");
    // Lanes with the newest and the oldest run side by side.
    const port = process.env["DOCKLINE_TEST_KUBELET"] === "oldest" ? 10_450 : 10_350;
    rig = await startKubeletNode({ port });
    kubelet = rig.kubelet;
    const hostVolume = { name: "host", hostPath: { path: hostFolder, type: "Directory" } };
    kubelet.addPod(
      "story",
      staticPod("story", {
        volumes: [{ name: "data", emptyDir: {} }, hostVolume],
        initContainers: [
          sh("first", "echo first >>/data/order", shared),
          sh("sidecar", `echo sidecar >>/data/order; ${idle}`, {
            restartPolicy: "Always",
            startupProbe: { exec: { command: ["grep", "-q", "sidecar", "/data/order"] } },
            ...shared,
          }),
          sh("second", "echo second >>/data/order", shared),
        ],
        containers: [
          sh(
            "web",
            `echo main >>/data/order; cp /data/order /data/index.html; httpd -p 8080 -h /data; ${idle}`,
            {
              ports: [{ containerPort: 8080, hostPort }],
              startupProbe: {
                exec: { command: ["test", "-f", "/data/index.html"] },
                ...every(1, { failureThreshold: 20 }),
              },
              readinessProbe: { ...httpGet, ...every(1) },
              livenessProbe: { tcpSocket: { port: 8080 }, ...every(2, { failureThreshold: 3 }) },
              volumeMounts: [...shared.volumeMounts, { name: "host", mountPath: "/host" }],
            },
          ),
        ],
      }),
    );
    kubelet.addPod(
      "unhealthy",
      staticPod("unhealthy", {
        containers: [
          sh("main", `touch /tmp/well; sleep 3; rm /tmp/well; ${idle}`, {
            livenessProbe: {
              exec: { command: ["test", "-f", "/tmp/well"] },
              ...every(1, { initialDelaySeconds: 1 }),
            },
          }),
        ],
      }),
    );
    kubelet.addPod(
      "crasher",
      staticPod("crasher", { containers: [sh("main", "echo run; exit 7")] }),
    );
    kubelet.addPod(
      "glutton",
      staticPod("glutton", {
        restartPolicy: "Never",
        containers: [sh("main", "tail /dev/zero", { resources: { limits: { memory: "48Mi" } } })],
      }),
    );
    for (const [name, line, grace] of [
      [
        "polite",
        "trap 'sleep 1; echo bye >/host/polite; exit 0' TERM; while :; do sleep 0.2; done",
        20,
      ],
      ["deaf", "trap '' TERM; while :; do sleep 0.2; touch /host/deaf; done", 3],
    ] as const) {
      kubelet.addPod(
        name,
        staticPod(name, {
          terminationGracePeriodSeconds: grace,
          volumes: [hostVolume],
          containers: [sh("main", line, { volumeMounts: [{ name: "host", mountPath: "/host" }] })],
        }),
      );
    }
  });
  after(async function () {
    this.timeout(120_000);
    await rig.close();
    rmSync(hostFolder, { recursive: true, force: true });
  });

  it("run init containers in order, a sidecar beside the rest, volumes shared", async () => {
    const { status } = await kubelet.ready("story");
    expect(await kubelet.run("story", "web", "cat /data/order")).to.match(
      /^first\nsidecar\nsecond\nmain\n/,
    );
    const byName = Object.fromEntries(
      (status.initContainerStatuses ?? []).map((one) => [one.name, one]),
    );
    expect(byName["first"]?.state.terminated).to.include({ reason: "Completed", exitCode: 0 });
    expect(byName["second"]?.state.terminated).to.include({ reason: "Completed", exitCode: 0 });
    expect(byName["sidecar"]?.state).to.have.property("running");
    await kubelet.exec("story", "web", ["sh", "-c", "cat >/host/from-pod"], "by stdin\n");
    expect(readFileSync(join(hostFolder, "from-pod"), "utf8")).to.equal("by stdin\n");
  });

  it("are reached by their address, their host port and a port-forward", async () => {
    const { status } = await kubelet.ready("story");
    for (const url of [`http://${status.podIP}:8080`, `http://127.0.0.1:${hostPort}`]) {
      const answer = await fetch(`${url}/index.html`, { signal: AbortSignal.timeout(5_000) });
      expect(await answer.text(), url).to.match(/^first\n/);
    }
    const text = await kubelet.portForward("story", 8080, "GET /index.html HTTP/1.0\r\n\r\n");
    expect(text).to.match(/200 OK[^]*\r\n\r\nfirst\nsidecar\nsecond\nmain\n$/);
  });

  it("answer exec with output, exit code and stdin, and a reader of their log", async () => {
    await kubelet.ready("story");
    expect(await kubelet.exec("story", "web", ["cat"], "to and fro")).to.equal("to and fro");
    const failure = await kubelet.exec("story", "web", ["sh", "-c", "exit 42"]).then(
      () => "no error",
      (error: unknown) => String(error),
    );
    // A kubelet up to 1.36 hands on Dockline's own words ("exit status"), a newer one writes its client's ("exit code").
    expect(failure).to.match(/exit (code|status) 42/);
    expect(await kubelet.logs("crasher", "main", "?previous=false")).to.equal("run\n");
  });

  it("die of memory with that reason", async () => {
    const end = await within(60_000, "end of the glutton", async () => {
      const container = await kubelet.container("glutton", "main");
      return container?.state.terminated;
    });
    expect(end).to.include({ reason: "OOMKilled", exitCode: 137 });
  });

  it("are restarted when a liveness probe fails", async () => {
    const container = await within(60_000, "restart by probe", async () => {
      const found = await kubelet.container("unhealthy", "main");
      return (found?.restartCount ?? 0) >= 1 && found?.lastState.terminated ? found : undefined;
    });
    // It obeys SIGTERM with 0.
    expect(container.lastState.terminated?.exitCode).to.equal(0);
    expect(await kubelet.logs("unhealthy", "main", "?previous=true")).to.equal("");
  });

  it("are restarted with back-off when they fail", async () => {
    const container = await within(90_000, "back-off", async () => {
      const found = await kubelet.container("crasher", "main");
      const waits = found?.state.waiting?.reason === "CrashLoopBackOff";
      return (found?.restartCount ?? 0) >= 2 && waits ? found : undefined;
    });
    expect(container.lastState.terminated).to.include({ reason: "Error", exitCode: 7 });
    expect(await kubelet.logs("crasher", "main", "?previous=true")).to.equal("run\n");
  });

  it("appear in the summary with their figures", async () => {
    await kubelet.ready("story");
    const pod = await within(40_000, "figures of the pod", async () => {
      const { pods } = JSON.parse(await kubelet.get("/stats/summary")) as {
        pods: { podRef: { name: string }; containers?: { name: string; memory?: object }[] }[];
      };
      const found = pods.find(({ podRef }) => podRef.name === "story-127.0.0.1");
      return found?.containers?.length === 2 ? found : undefined;
    });
    expect(pod.containers?.map(({ name }) => name).sort()).to.deep.equal(["sidecar", "web"]);
    for (const { memory } of pod.containers ?? [])
      expect(memory).to.include.keys("workingSetBytes");
  });

  it("end within their grace when the manifest goes", async () => {
    await kubelet.ready("polite");
    await kubelet.ready("deaf");
    const began = Date.now();
    kubelet.removePod("polite");
    kubelet.removePod("deaf");
    for (const name of ["polite", "deaf"]) {
      await within(30_000, `end of ${name}`, async () => {
        const { containers } = await rig.node.runtime.listContainers({});
        const state = containers.find(
          ({ labels }) => labels["io.kubernetes.pod.name"] === `${name}-127.0.0.1`,
        )?.state;
        return state === undefined || state === ContainerState.CONTAINER_EXITED ? true : undefined;
      });
    }
    expect(readFileSync(join(hostFolder, "polite"), "utf8")).to.equal("bye\n");
    // Its last sign of life: not killed before its three seconds, not left alone long after them.
    const lived = statSync(join(hostFolder, "deaf")).mtimeMs - began;
    expect(lived).to.be.within(2_500, 12_000);
    await within(30_000, "the sandboxes' end", async () => {
      const { items } = await rig.node.runtime.listPodSandbox({});
      const left = items.filter(
        ({ metadata, state }) =>
          /^(polite|deaf)-/.test(metadata?.name ?? "") && state === PodSandboxState.SANDBOX_READY,
      );
      return left.length === 0 ? true : undefined;
    });
  });

  it("keep running, ids and restart counts included, when Dockline ends and comes back", async () => {
    await kubelet.ready("story");
    const look = async (): Promise<Record<string, string>> => {
      const pod = await kubelet.pod("story");
      return pod === undefined ? {} : identities([pod]);
    };
    const before = await look();
    expect(Object.keys(before)).to.have.length(4);
    const deaths: (() => Promise<unknown>)[] = [() => rig.node.terminate(), () => rig.node.kill()];
    for (const die of deaths) {
      await die();
      await sleep(3_000);
      await rig.node.start();
      // Two of the kubelet's sync periods.
      await sleep(10_000);
      expect(await look()).to.deep.equal(before);
    }
    expect(await kubelet.run("story", "web", "echo again")).to.contain("again");
    const { containers } = await rig.node.runtime.listContainers({});
    const attempts = containers
      .filter(({ labels }) => labels["io.kubernetes.pod.name"] === "story-127.0.0.1")
      .map(({ metadata }) => metadata?.attempt);
    expect(attempts).to.deep.equal([0, 0, 0, 0]);
  });
});
