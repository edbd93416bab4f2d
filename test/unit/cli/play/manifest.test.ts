import { expect } from "chai";
import { Protocol } from "../../../../src/gen/runtime/v1/api_pb.js";
import { readManifest } from "../../../../src/cli/play/manifest.ts";
import type { Manifest } from "../../../../src/cli/play/manifest.ts";

const pod = (spec: object, container: object = {}): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "p" },
  spec: { containers: [{ name: "c", image: "i:1", ...container }], ...spec },
});
const read = (...documents: (object | string)[]): Manifest =>
  readManifest([
    {
      name: "f.yaml",
      text: documents
        .map((document) => (typeof document === "string" ? document : JSON.stringify(document)))
        .join("\n---\n"),
    },
  ]);
const problemsOf = (...documents: (object | string)[]): string[] => {
  try {
    read(...documents);
  } catch (error) {
    return (error as Error).message.split("\n");
  }
  return [];
};
const workload = (kind: string, apiVersion: string, spec: object): object => ({
  apiVersion,
  kind,
  metadata: { name: "w" },
  spec: { ...spec, template: { spec: { containers: [{ name: "c", image: "i:1" }] } } },
});

describe("a manifest for dockline play", () => {
  it("is refused with the name and line of each field that play cannot do", () => {
    expect(
      problemsOf(
        [
          "apiVersion: v1",
          "kind: Pod",
          "metadata: {name: p}",
          "spec:",
          "  hostUsers: false",
          "  containers:",
          "    - name: c",
          "      image: i:1",
          "      securtyContext: {}",
          "      livenessProbe: {grpc: {port: 1}}",
          "      lifecycle: {stopSignal: SIGINT}",
          "      frobnicateAllOfIt: 1",
        ].join("\n"),
      ),
    ).to.deep.equal([
      "f.yaml:5: spec.hostUsers: not supported by dockline play",
      "f.yaml:9: spec.containers[0].securtyContext: unknown field; did you mean securityContext?",
      "f.yaml:10: spec.containers[0].livenessProbe.grpc: not supported by dockline play",
      "f.yaml:11: spec.containers[0].lifecycle.stopSignal: not supported by dockline play",
      "f.yaml:12: spec.containers[0].frobnicateAllOfIt: unknown field",
    ]);
  });

  it("names fields without a meaning on one node and passes them over", () => {
    const { pods, passedOver } = read(
      pod({
        tolerations: [{ operator: "Exists" }],
        nodeSelector: { a: "b" },
        serviceAccountName: "x",
        restartPolicy: "Never",
        terminationGracePeriodSeconds: 5,
      }),
    );
    expect(passedOver).to.have.length(3);
    expect(passedOver[0]).to.equal(
      "f.yaml:1: spec.tolerations: the scheduler's: there is one node",
    );
    expect(pods[0]?.containers[0]?.restartPolicy).to.equal("Never");
    expect(pods[0]?.graceSeconds).to.equal(5);
  });

  it("says what was found where a kind or version is another one", () => {
    expect(problemsOf("apiVersion: v1\nkind: Deployment")[0]).to.equal(
      'f.yaml:1: apiVersion: found "v1"; of a Deployment it is apps/v1',
    );
    expect(problemsOf("apiVersion: apps/v1\nkind: Deploment")[0]).to.equal(
      "f.yaml:2: kind: Deploment is not one of Pod, Deployment, DaemonSet, Job, ConfigMap and Secret; did you mean Deployment?",
    );
    expect(problemsOf("a: [")[0]).to.match(/^f\.yaml:1: /);
    expect(problemsOf("apiVersion: v1\nkind: Service\nspec: {}")[0]).to.match(/^no Pod, .* in f/);
  });

  it("takes Deployments, DaemonSets and Jobs as one pod, and says so", () => {
    const { pods, passedOver } = read(
      workload("Deployment", "apps/v1", { replicas: 3, selector: { matchLabels: { a: "b" } } }),
      { ...workload("Job", "batch/v1", { completions: 2 }), metadata: { name: "j" } },
      { apiVersion: "v1", kind: "Service", spec: { anything: 1 } },
    );
    expect(pods.map(({ name }) => name)).to.deep.equal(["w-pod", "j-pod"]);
    expect(pods.map(({ containers }) => containers[0]?.restartPolicy)).to.deep.equal([
      "Always",
      "Never",
    ]);
    expect(passedOver).to.include.members([
      "f.yaml:1: spec.replicas: one pod is run, not 3",
      "f.yaml:3: spec.completions: one pod is run, not 2",
      "f.yaml:5: kind: a Service says nothing to one node",
    ]);
    const always = { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i:1" }] } };
    expect(
      problemsOf({
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: { name: "w" },
        spec: { template: always },
      })[0],
    ).to.contain("Never is not one of Always");
  });

  it("takes the objects of a List, with the list's own lines", () => {
    const text = [
      "apiVersion: v1",
      "kind: List",
      "items:",
      "  - apiVersion: v1",
      "    kind: ConfigMap",
      "    metadata: {name: m}",
      "  - apiVersion: v1",
      "    kind: Pod",
      "    metadata: {name: p}",
      "    spec: {containers: [{name: c, image: 'i:1', envFrom: [{configMapRef: {name: n}}]}]}",
    ].join("\n");
    expect(problemsOf(text)).to.deep.equal([
      'f.yaml:10: items[1].spec.containers[0].envFrom[0].configMapRef.name: no ConfigMap "n" of namespace default is among the documents',
    ]);
    expect(read(text.replace("name: n}", "name: m}")).pods).to.have.length(1);
  });

  it("gives variables from ConfigMaps and Secrets, and files of volumes", () => {
    const configs = [
      { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "m" }, data: { A: "1", B: "2" } },
      {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "s" },
        data: { key: Buffer.from("hidden").toString("base64") },
        stringData: { other: "plain" },
      },
    ];
    const spec = {
      volumes: [
        { name: "all", configMap: { name: "m", defaultMode: 0o400 } },
        {
          name: "one",
          secret: { secretName: "s", items: [{ key: "key", path: "a/b", mode: 256 }] },
        },
        {
          name: "many",
          projected: {
            sources: [
              { secret: { name: "s" } },
              {
                downwardAPI: {
                  items: [{ path: "name", fieldRef: { fieldPath: "metadata.name" } }],
                },
              },
            ],
          },
        },
      ],
    };
    const container = {
      envFrom: [{ prefix: "M_", configMapRef: { name: "m" } }],
      env: [
        { name: "K", valueFrom: { secretKeyRef: { name: "s", key: "key" } } },
        { name: "NONE", valueFrom: { configMapKeyRef: { name: "x", key: "y", optional: true } } },
        { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
        { name: "L", value: "$(K)" },
      ],
      volumeMounts: [{ name: "all", mountPath: "/m", subPath: "A" }],
    };
    const [first] = read(pod(spec, container), ...configs).pods;
    expect(first?.containers[0]?.environment).to.deep.equal([
      { name: "M_A", value: "1", expand: false },
      { name: "M_B", value: "2", expand: false },
      { name: "K", value: "hidden", expand: false },
      { name: "IP", address: "podIP" },
      { name: "L", value: "$(K)", expand: true },
    ]);
    const files = first?.folders.map((folder) =>
      folder.files.map(({ path, content, mode }) => [path, Buffer.from(content).toString(), mode]),
    );
    expect(files).to.deep.equal([
      [
        ["A", "1", 0o400],
        ["B", "2", 0o400],
      ],
      [["a/b", "hidden", 0o400]],
      [
        ["key", "hidden", 0o644],
        ["other", "plain", 0o644],
        ["name", "p", 0o644],
      ],
    ]);
    const [mount] = first?.containers[0]?.config.mounts ?? [];
    expect(mount).to.include({ containerPath: "/m", readonly: true });
    expect(mount?.hostPath).to.match(/^\/var\/lib\/dockline-play\/[-0-9a-f]+\/all\/A$/);
    // Another value is another pod; another order of keys is not.
    const changed = read(
      pod(spec, container),
      { ...configs[0], data: { A: "9", B: "2" } },
      configs[1] ?? {},
    );
    const reordered = read(
      configs[1] ?? {},
      Object.fromEntries(Object.entries(configs[0] ?? {}).reverse()),
      pod(spec, container),
    );
    expect(changed.pods[0]?.fingerprint).to.not.equal(first?.fingerprint);
    expect(reordered.pods[0]?.fingerprint).to.equal(first?.fingerprint);
  });

  it("refuses what a ConfigMap or Secret does not have", () => {
    const map = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "m" }, data: { A: "1" } };
    const from = (ref: object): object => ({ env: [{ name: "E", valueFrom: ref }] });
    expect(
      problemsOf(pod({}, from({ configMapKeyRef: { name: "m", key: "B" } })), map)[0],
    ).to.contain('the ConfigMap has no key "B"');
    expect(problemsOf(pod({}, from({ secretKeyRef: { name: "m", key: "A" } })), map)[0]).to.contain(
      'no Secret "m" of namespace default',
    );
    expect(problemsOf(pod({}), { ...map, data: { "../x": "1" } })[0]).to.contain("a key has");
    expect(
      problemsOf(pod({}), { ...map, kind: "Secret", data: { a: "no base64!" } })[0],
    ).to.contain("a is not base64");
  });

  it("reads probes with the kubelet's defaults and ports by name", () => {
    const [first] = read(
      pod(
        {},
        {
          ports: [{ name: "web", containerPort: 80, hostPort: 8080, protocol: "UDP" }],
          livenessProbe: { httpGet: { port: "web", path: "healthz" }, failureThreshold: 5 },
          readinessProbe: { tcpSocket: { port: 81 }, periodSeconds: 2, successThreshold: 2 },
          startupProbe: { exec: { command: ["a"] }, terminationGracePeriodSeconds: 1 },
        },
      ),
    ).pods;
    const defaults = {
      initialDelayMs: 0,
      periodMs: 10_000,
      timeoutMs: 1000,
      successThreshold: 1,
      failureThreshold: 3,
      graceSeconds: undefined,
    };
    expect(first?.containers[0]?.probes).to.deep.equal({
      liveness: {
        ...defaults,
        action: { kind: "http", scheme: "HTTP", host: "", port: 80, path: "/healthz", headers: {} },
        failureThreshold: 5,
      },
      readiness: {
        ...defaults,
        action: { kind: "tcp", host: "", port: 81 },
        periodMs: 2000,
        successThreshold: 2,
      },
      startup: { ...defaults, action: { kind: "exec", command: ["a"] }, graceSeconds: 1 },
    });
    expect(first?.sandbox.portMappings).to.deep.equal([
      { protocol: Protocol.UDP, containerPort: 80, hostPort: 8080, hostIp: "" },
    ]);
    const bad = (probe: object): string | undefined =>
      problemsOf(pod({}, { livenessProbe: probe }))[0];
    expect(bad({ tcpSocket: { port: "web" } })).to.contain("port: want 1 to 65535");
    expect(bad({ tcpSocket: { port: 1 }, successThreshold: 2 })).to.contain("want 1");
    expect(bad({})).to.contain("want one of exec, httpGet, tcpSocket");
  });

  it("reads numbers as Kubernetes' YAML does: 0400 is octal", () => {
    const text =
      "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers: [{name: c, image: 'i:1'}]\n" +
      "  volumes: [{name: v, downwardAPI: {defaultMode: 0400, items: [{path: a, fieldRef: {fieldPath: metadata.name}}]}}]";
    expect(read(text).pods[0]?.folders[0]?.files[0]?.mode).to.equal(0o400);
  });

  it("pulls a latest image always, others once, as the kubelet does", () => {
    const pull = (image: string): string | undefined =>
      read(pod({}, { image })).pods[0]?.containers[0]?.pull;
    expect(["i", "r:5000/i", "i:latest", "i:1", "i@sha256:0"].map(pull)).to.deep.equal([
      ...["Always", "Always", "Always", "IfNotPresent", "IfNotPresent"],
    ]);
  });

  it("never takes a uid of another cluster's pod, nor a name that leaves its folder", () => {
    const exported = { ...pod({}), metadata: { name: "p", uid: "u", resourceVersion: "1" } };
    expect(read(exported).pods[0]?.uid).to.equal(read(pod({})).pods[0]?.uid);
    for (const name of ["../x", "a/b", "", "A"]) {
      expect(problemsOf({ ...pod({}), metadata: { name } })[0], name).to.contain("metadata.name");
    }
  });
});
