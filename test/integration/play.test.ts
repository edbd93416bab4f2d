import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import { removePod, runPod } from "../support/pods.ts";
import { busybox } from "../support/test-images.ts";
import { until } from "../support/until.ts";

const program = join(import.meta.dirname, "..", "..", "bin", "dockline");
const namespace = "play-test";

describe("dockline play on a node", () => {
  let node: TestNode;
  let start: NodeState;
  before(async () => {
    node = await startNode();
    // The pause image and whatever else the first pod brings.
    await removePod(node, await runPod(node));
  });
  after(() => node.close());
  beforeEach(() => (start = nodeState(node)));
  afterEach(() => expectNothingLeft(node, start));

  const manifest = (spec: object, container: object): string =>
    JSON.stringify({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "played", namespace },
      spec: { containers: [{ name: "one", image: busybox, ...container }], ...spec },
    });
  const sh = (script: string): { command: string[] } => ({ command: ["sh", "-c", script] });

  /** A play that runs; `output` is what it has said on both streams. */
  function begin(args: string[], input?: string) {
    const child = spawn(
      program,
      ["play", ...args, "--endpoint", node.endpoint, "--log-dir", `${node.folder}/played-logs`],
      { stdio: ["pipe", "pipe", "pipe"] },
    );
    child.stdin.end(input ?? "");
    const said = { text: "" };
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => (said.text += text));
    }
    const ended = once(child, "close").then(([code]) => code as number | null);
    return { child, ended, output: () => said.text };
  }
  async function play(args: string[], input?: string): Promise<{ code: number; output: string }> {
    const { ended, output } = begin(args, input);
    return { code: (await ended) ?? -1, output: output() };
  }
  function fileOf(text: string): string {
    const path = `${node.folder}/played.yaml`;
    writeFileSync(path, text);
    return path;
  }
  const containers = async (): Promise<string[]> => {
    const { containers: found } = await node.runtime.listContainers({});
    return found.map(({ id, state }) => `${id} ${state}`).sort();
  };

  it("ends with the container's exit code, and its second run shows no line of the first", async () => {
    const file = fileOf(manifest({ restartPolicy: "Never" }, sh("echo hello; exit 3")));
    for (const run of ["first", "second"]) {
      const { code, output } = await play([file]);
      expect(code, output).to.equal(3);
      expect(output.match(/one \| hello/g), run).to.have.length(1);
      expect(output).to.contain("one: ended with 3");
    }
    const down = await play([file, "--down"]);
    expect(down).to.deep.equal({ code: 0, output: `removed pod ${namespace}/played\n` });
    expect(existsSync(`${node.folder}/played-logs/${namespace}_played`)).to.equal(false);
  });

  it("is ready before --detach returns, and a second run changes nothing", async () => {
    const file = fileOf(
      manifest(
        { initContainers: [{ name: "first", image: busybox, ...sh("echo once") }] },
        {
          ...sh("sleep 1; echo up; exec httpd -f -p 8080 -h /etc"),
          ports: [{ name: "web", containerPort: 8080 }],
          readinessProbe: { httpGet: { port: "web", path: "/passwd" }, periodSeconds: 1 },
        },
      ),
    );
    const first = await play([file, "--detach"]);
    expect(first.code, first.output).to.equal(0);
    expect(first.output).to.contain("one: ready");
    const before = await containers();
    expect(before).to.have.length(2);
    const second = await play([file, "--detach"]);
    expect(second.code, second.output).to.equal(0);
    expect(second.output).to.contain("is there already, unchanged");
    expect(await containers()).to.deep.equal(before);
    const other = fileOf(manifest({ terminationGracePeriodSeconds: 0 }, sh("exec sleep 1000")));
    expect(await play([other, "--detach"])).to.include({ code: 1 });
    expect(await containers()).to.deep.equal(before);
    expect((await play([other, "--detach", "--replace"])).code).to.equal(0);
    expect(await containers()).to.have.length(1);
    expect((await play([other, "--down"])).code).to.equal(0);
  });

  it("restarts what its liveness probe finds dead, with a log of its own", async () => {
    const file = fileOf(
      manifest(
        { terminationGracePeriodSeconds: 0 },
        {
          ...sh("echo run; touch /alive; sleep 3; rm /alive; exec sleep 1000"),
          livenessProbe: {
            exec: { command: ["test", "-e", "/alive"] },
            periodSeconds: 1,
            failureThreshold: 2,
          },
        },
      ),
    );
    const played = begin([file]);
    await until(() => played.output().includes("(restart 1)"));
    await until(() => played.output().match(/one \| run/g)?.length === 2);
    expect(played.output()).to.contain(
      "one: the liveness probe has failed (test ended with 1), the container is stopped",
    );
    expect(existsSync(`${node.folder}/played-logs/${namespace}_played/one/1.log`)).to.equal(true);
    // Another terminal: what it ends is not restarted by the one that watches.
    expect((await play([file, "--down"])).code).to.equal(0);
    expect(await played.ended).to.equal(1);
    expect(await containers()).to.deep.equal([]);
  });

  it("has variables, files and hosts of its manifest, a Job from the standard input", async () => {
    const documents = [
      {
        apiVersion: "batch/v1",
        kind: "Job",
        metadata: { name: "job", namespace },
        spec: {
          completions: 2,
          template: {
            spec: {
              restartPolicy: "Never",
              hostAliases: [{ ip: "192.0.2.7", hostnames: ["alias.test"] }],
              volumes: [
                { name: "scratch", emptyDir: {} },
                { name: "secret", secret: { secretName: "s", defaultMode: 0o444 } },
              ],
              containers: [
                {
                  name: "one",
                  image: busybox,
                  ...sh(
                    'echo "$WORD $(cat /secret/key)"; grep alias /etc/hosts; ip addr | grep -qF "$IP/" && echo "has $(echo ok)"; echo written > /scratch/file && cat /scratch/file; id -u; echo x > /secret/key',
                  ),
                  securityContext: { runAsUser: 1000, runAsNonRoot: true },
                  env: [{ name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } }],
                  envFrom: [{ configMapRef: { name: "m" } }],
                  volumeMounts: [
                    { name: "scratch", mountPath: "/scratch" },
                    { name: "secret", mountPath: "/secret" },
                  ],
                },
              ],
            },
          },
        },
      },
      {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: "m", namespace },
        data: { WORD: "a word" },
      },
      {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "s", namespace },
        stringData: { key: "hidden" },
      },
    ];
    const input = documents.map((document) => JSON.stringify(document)).join("\n---\n");
    const { code, output } = await play(["-"], input);
    for (const line of [
      "stdin:1: spec.completions: one pod is run, not 2",
      "one | a word hidden",
      "one | 192.0.2.7\talias.test",
      "one | has ok",
      "one | written",
      "one | 1000",
    ]) {
      expect(output).to.contain(line);
    }
    expect(output).to.match(/one \| .*Read-only file system/);
    expect(code).to.equal(1);
    expect((await play(["-", "--down"], input)).code).to.equal(0);
  });

  it("leaves a pod that cannot be started, in Docker's words, for a look", async () => {
    const file = fileOf(manifest({}, { command: ["/no/such/program"] }));
    const { code, output } = await play([file]);
    expect(code).to.equal(1);
    expect(output).to.contain("is left for a look; --down removes it");
    expect(output)
      .to.match(/no such file or directory/)
      .and.not.match(/INTERNAL|UNKNOWN/);
    expect((await play([file, "--down"])).code).to.equal(0);
  });
});
