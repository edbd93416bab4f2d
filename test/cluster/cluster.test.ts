import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";
import { expect } from "chai";
import { until } from "../support/until.ts";

const run = promisify(execFile);
/** Runs in the node of test/lanes/cluster. */
async function kubectl(...args: string[]): Promise<string> {
  const { stdout } = await run("kubectl", args, {
    timeout: 60_000,
    maxBuffer: 1 << 24,
  });
  return stdout.trim();
}
const space = `dockline-test-${process.pid}`;
const inSpace = (...args: string[]): Promise<string> => kubectl("--namespace", space, ...args);

interface Pods {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly status: {
      readonly phase: string;
      readonly containerStatuses?: readonly {
        readonly ready: boolean;
        readonly restartCount: number;
      }[];
    };
  }[];
}

const image =
  process.env["DOCKLINE_CLUSTER_AGNHOST"] ?? "registry.k8s.io/e2e-test-images/agnhost:2.55";

describe("a cluster that kubeadm made", function () {
  this.timeout(180_000);

  before(async () => {
    await kubectl("create", "namespace", space);
    // Pods need it, and the control plane makes it a moment later.
    await until(
      async () => (await inSpace("get", "serviceaccount", "default", "--ignore-not-found")) !== "",
      30_000,
    );
  });
  after(async () => {
    await kubectl("delete", "namespace", space, "--wait=false");
  });

  it("has a Ready node with the runtime that was asked for", async () => {
    const node = await kubectl(
      "get",
      "node",
      "node1",
      "--output",
      "jsonpath={.status.conditions[?(@.type=='Ready')].status} {.status.nodeInfo.containerRuntimeVersion}",
    );
    const [ready, runtime] = node.split(" ");
    expect(ready).to.equal("True");
    const wanted = process.env["DOCKLINE_CLUSTER_RUNTIME"];
    if (wanted !== undefined)
      expect(runtime).to.match(new RegExp(`^${wanted === "dockline" ? "docker" : wanted}://`));
  });

  it("runs kube-proxy, CoreDNS and the control plane, none of them restarted", async () => {
    const pods = JSON.parse(
      await kubectl("get", "pods", "--namespace", "kube-system", "--output", "json"),
    ) as Pods;
    const names = pods.items.map((pod) => pod.metadata.name).join(" ");
    for (const part of [
      "kube-proxy",
      "coredns",
      "etcd",
      "kube-apiserver",
      "kube-controller-manager",
      "kube-scheduler",
    ]) {
      expect(names).to.include(part);
    }
    for (const pod of pods.items) {
      expect(pod.status.phase, pod.metadata.name).to.equal("Running");
      for (const container of pod.status.containerStatuses ?? []) {
        expect(container, pod.metadata.name).to.include({
          ready: true,
          restartCount: 0,
        });
      }
    }
  });

  it("reaches both replicas of a Deployment through its Service, by address and by name", async () => {
    await inSpace(
      "create",
      "deployment",
      "web",
      `--image=${image}`,
      "--replicas=2",
      "--",
      "/agnhost",
      "serve-hostname",
    );
    await inSpace("expose", "deployment", "web", "--port=80", "--target-port=9376");
    await inSpace("run", "client", `--image=${image}`, "--restart=Never", "--", "pause");
    await inSpace("rollout", "status", "deployment/web", "--timeout=90s");
    await inSpace("wait", "pod/client", "--for=condition=Ready", "--timeout=60s");
    const pods = (
      await inSpace(
        "get",
        "pods",
        "--selector",
        "app=web",
        "--output",
        "jsonpath={.items[*].metadata.name}",
      )
    ).split(" ");
    expect(pods).to.have.length(2);
    const address = await inSpace(
      "get",
      "service",
      "web",
      "--output",
      "jsonpath={.spec.clusterIP}",
    );
    for (const host of [address, "web", `web.${space}.svc.cluster.local`]) {
      const seen = new Set<string>();
      await until(async () => {
        seen.add(
          await inSpace("exec", "client", "--", "curl", "-s", "--max-time", "5", `http://${host}/`),
        );
        return pods.every((pod) => seen.has(pod));
      }, 60_000);
    }
  });

  it("runs a command and tells the log of a container", async () => {
    expect(await inSpace("exec", "client", "--", "sh", "-c", "echo $((6*7))")).to.equal("42");
    await inSpace(
      "run",
      "once",
      `--image=${image}`,
      "--restart=Never",
      "--command",
      "--",
      "sh",
      "-c",
      "echo said; exit 3",
    );
    await inSpace("wait", "pod/once", "--for=jsonpath={.status.phase}=Failed", "--timeout=60s");
    expect(await inSpace("logs", "once")).to.equal("said");
    expect(
      await inSpace(
        "get",
        "pod",
        "once",
        "--output",
        "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}",
      ),
    ).to.equal("3");
  });

  for (const tty of [false, true]) {
    it(`gives kubectl attach its prompt back when stdin ends, ${tty ? "with" : "without"} a terminal`, async () => {
      const name = `typist-${String(tty)}`;
      await create(name, {
        stdin: true,
        tty,
        command: ["sh", "-c", "while read line; do echo heard $line; done; sleep 1000"],
      });
      await inSpace("wait", `pod/${name}`, "--for=condition=Ready", "--timeout=60s");
      for (const websockets of ["true", "false"]) {
        for (const word of ["first", "second"]) {
          const text = `${word}-${websockets}`;
          const { code, out } = await attach(name, text, tty, websockets);
          expect(code, out).to.equal(0);
          expect(out).to.contain(`heard ${text}`);
        }
      }
      const words = "first-true second-true first-false second-false".split(" ");
      const log = await inSpace("logs", name);
      expect(log.match(/(?<=heard ).*(?=\r?$)/gm)).to.deep.equal(words);
      const restarts = "jsonpath={.status.phase} {.status.containerStatuses[0].restartCount}";
      expect(await inSpace("get", "pod", name, "--output", restarts)).to.equal("Running 0");
    });
  }

  it("restarts a container whose liveness probe names a program that does not exist", async () => {
    await create("absent", {
      command: ["sh", "-c", "trap exit TERM; while true; do sleep 1; done"],
      livenessProbe: { exec: { command: ["/no/such/program"] }, periodSeconds: 1 },
    });
    const path = "jsonpath={.status.containerStatuses[0].restartCount}";
    await until(
      async () => Number(await inSpace("get", "pod", "absent", "--output", path)) > 0,
      90_000,
    );
    const events = await inSpace("get", "events", "--field-selector=involvedObject.name=absent");
    expect(events).to.match(/Unhealthy .*Liveness probe failed:.*\/no\/such\/program/);
  });
});

async function create(name: string, container: object): Promise<void> {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: {
      terminationGracePeriodSeconds: 5,
      containers: [{ name: "only", image, ...container }],
    },
  };
  const done = run("kubectl", ["--namespace", space, "create", "--filename=-"]);
  done.child.stdin?.end(JSON.stringify(pod));
  await done;
}

/** Types a line, ends stdin when the container has answered, and waits for kubectl's end. Needs Python's pty for a terminal. */
async function attach(
  pod: string,
  text: string,
  tty: boolean,
  websockets: string,
): Promise<{ code: number | null; out: string }> {
  // Without a terminal for its own stdin kubectl asks for what every runtime refuses: a terminal and a stream for errors.
  const words = ["--namespace", space, "attach", pod, "--stdin", ...(tty ? ["--tty"] : [])];
  const env = { ...process.env, KUBECTL_REMOTE_COMMAND_WEBSOCKETS: websockets };
  const child = tty
    ? spawn("python3", ["-c", onTerminal, "kubectl", ...words], { env })
    : spawn("kubectl", words, { env });
  let out = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (data: Buffer) => (out += data.toString()));
  }
  const ended = once(child, "close") as Promise<[number | null]>;
  // What is typed before kubectl has set its terminal's mode would be lost.
  await until(() => Promise.resolve(out.includes("press")), 30_000);
  child.stdin.write(`${text}\n`);
  await until(() => Promise.resolve(out.includes(`heard ${text}`)), 30_000);
  const began = performance.now();
  child.stdin.end();
  const late = setTimeout(() => child.kill("SIGKILL"), 20_000);
  const [code] = await ended;
  clearTimeout(late);
  expect(performance.now() - began, `${out}: milliseconds from stdin's end`).to.be.below(5000);
  return { code, out };
}

/** Gives a program a terminal as its stdin, which ends with this one's. */
const onTerminal = `
import os, pty, subprocess, sys
ours, its = pty.openpty()
child = subprocess.Popen(sys.argv[1:], stdin=its, start_new_session=True)
os.close(its)
while data := os.read(0, 4096): os.write(ours, data)
os.close(ours)
sys.exit(child.wait())
`;
