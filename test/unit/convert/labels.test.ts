import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import {
  AUTHORITATIVE_LABEL,
  needsImageLabels,
  readIdentity,
  toContainerLabels,
  toSandboxLabels,
} from "../../../src/convert/labels.ts";
import { CriError } from "../../../src/errors.ts";
import {
  ContainerConfigSchema,
  PodSandboxConfigSchema,
} from "../../../src/gen/runtime/v1/api_pb.js";

const sandboxDockerName = "k8s_POD_web_default_u-1_0";
const containerDockerName = "k8s_app_web_default_u-1_2";
const sandboxId = "f".repeat(64);

const hostile: Record<string, string> = {
  "annotation.io.kubernetes.container.preStopHandler": '{"exec":{"command":["evil"]}}',
  "io.kubernetes.docker.type": "podsandbox",
  "io.kubernetes.sandbox.id": "0".repeat(64),
  "io.kubernetes.container.logpath": "/etc/cron.d/x",
  "annotation.io.kubernetes.container.restartCount": "9",
  [AUTHORITATIVE_LABEL]: JSON.stringify({
    v: 1,
    name: "k8s_other_web_default_u-1_2",
    kind: "container",
    labels: { evil: "1" },
    annotations: {},
  }),
  vendor: "someone",
};

const map = fc
  .uniqueArray(
    fc.tuple(
      fc.oneof(fc.string(), fc.constantFrom("__proto__", "constructor", ...Object.keys(hostile))),
      fc.string({ unit: "grapheme" }),
    ),
    { selector: ([key]) => key },
  )
  .map((entries) => Object.fromEntries(entries) as Record<string, string>);

const entries = (record: Readonly<Record<string, string>>) => Object.entries(record).sort();

describe("convert/labels", () => {
  it("writes dockershim's labels on a sandbox", () => {
    const config = create(PodSandboxConfigSchema, {
      labels: { "io.kubernetes.pod.name": "web", "io.kubernetes.container.name": "mine" },
      annotations: { note: "n" },
    });
    const labels = toSandboxLabels(config, "runc", sandboxDockerName, { hash: "h" });
    expect({ ...labels }).to.deep.equal({
      "io.kubernetes.pod.name": "web",
      "io.kubernetes.container.name": "POD",
      "io.kubernetes.docker.type": "podsandbox",
      "annotation.note": "n",
      [AUTHORITATIVE_LABEL]: JSON.stringify({
        v: 1,
        name: sandboxDockerName,
        kind: "podsandbox",
        labels: config.labels,
        annotations: { note: "n" },
        runtimeHandler: "runc",
        logPath: "",
        hash: "h",
      }),
    });
    expect(readIdentity({ name: sandboxDockerName, labels })?.labels).to.deep.equal(config.labels);
  });

  it("writes dockershim's labels on a container", () => {
    const config = create(ContainerConfigSchema, {
      labels: { "io.kubernetes.container.name": "app" },
      annotations: { "io.kubernetes.container.hash": "abc" },
      logPath: "app/2.log",
    });
    const labels = toContainerLabels(
      config,
      { logDirectory: "/var/log/pods/x" },
      sandboxId,
      containerDockerName,
      "",
      { spec: "AAAA" },
    );
    expect(labels).to.include({
      "io.kubernetes.container.name": "app",
      "io.kubernetes.docker.type": "container",
      "io.kubernetes.sandbox.id": sandboxId,
      "io.kubernetes.container.logpath": "/var/log/pods/x/app/2.log",
      "annotation.io.kubernetes.container.hash": "abc",
    });
    const identity = readIdentity({ name: `/${containerDockerName}`, labels });
    expect(identity).to.deep.include({
      kind: "container",
      name: containerDockerName,
      metadata: { name: "app", attempt: 2 },
      podSandboxMetadata: { name: "web", namespace: "default", uid: "u-1", attempt: 0 },
      podSandboxId: sandboxId,
      logPath: "/var/log/pods/x/app/2.log",
      legacy: false,
      extra: { spec: "AAAA" },
    });
  });

  it("gives back exactly the labels and annotations sent, whatever the image carries", () => {
    fc.assert(
      fc.property(map, map, map, (labels, annotations, image) => {
        const sandboxConfig = create(PodSandboxConfigSchema, { labels, annotations });
        const config = create(ContainerConfigSchema, { labels, annotations, logPath: "a.log" });
        for (const [name, own] of [
          [sandboxDockerName, toSandboxLabels(sandboxConfig, "", sandboxDockerName)],
          [
            containerDockerName,
            toContainerLabels(config, { logDirectory: "/l" }, sandboxId, containerDockerName, ""),
          ],
        ] as const) {
          // Docker's merge: the image's labels, overridden by the container's.
          const merged = Object.fromEntries([
            ...Object.entries(image),
            ...Object.entries(hostile),
            ...Object.entries(own),
          ]) as Record<string, string>;
          // Through JSON, as Docker's API carries them.
          const read = readIdentity({
            name,
            labels: JSON.parse(JSON.stringify(merged)) as Record<string, string>,
            imageLabels: { ...image, ...hostile },
          });
          expect(read).to.not.equal(undefined);
          expect(entries(read!.labels)).to.deep.equal(entries(labels));
          expect(entries(read!.annotations)).to.deep.equal(entries(annotations));
          expect(read!.legacy).to.equal(false);
          if (read!.kind === "container") {
            expect(read).to.include({ podSandboxId: sandboxId, logPath: "/l/a.log" });
          }
        }
      }),
    );
  });

  it("reads a cri-dockerd container without its image's labels", () => {
    const labels = {
      ...hostile,
      "io.kubernetes.docker.type": "container",
      "io.kubernetes.sandbox.id": sandboxId,
      "io.kubernetes.container.logpath": "/var/log/pods/x/0.log",
      "io.kubernetes.container.name": "app",
      "annotation.io.kubernetes.container.hash": "abc",
      "annotation.io.kubernetes.container.restartCount": "0",
    };
    expect(needsImageLabels({ name: containerDockerName, labels })).to.equal(true);
    const identity = readIdentity({ name: containerDockerName, labels, imageLabels: hostile });
    expect(identity).to.deep.include({
      kind: "container",
      legacy: true,
      podSandboxId: sandboxId,
      logPath: "/var/log/pods/x/0.log",
      runtimeHandler: "",
      extra: {},
    });
    expect({ ...identity!.labels }).to.deep.equal({ "io.kubernetes.container.name": "app" });
    expect({ ...identity!.annotations }).to.deep.equal({
      "io.kubernetes.container.hash": "abc",
      "io.kubernetes.container.restartCount": "0",
    });
  });

  it("reads a cri-dockerd sandbox", () => {
    const labels = {
      "io.kubernetes.docker.type": "podsandbox",
      "io.kubernetes.container.name": "POD",
      "io.kubernetes.pod.name": "web",
      "annotation.note": "n",
    };
    const identity = readIdentity({ name: sandboxDockerName, labels });
    expect(identity).to.deep.include({
      kind: "podsandbox",
      metadata: { name: "web", namespace: "default", uid: "u-1", attempt: 0 },
      legacy: true,
    });
    expect({ ...identity!.labels }).to.deep.equal({ "io.kubernetes.pod.name": "web" });
    expect({ ...identity!.annotations }).to.deep.equal({ note: "n" });
  });

  const ours = toSandboxLabels(create(PodSandboxConfigSchema, {}), "", sandboxDockerName);
  const authoritative = JSON.parse(ours[AUTHORITATIVE_LABEL]!) as Record<string, unknown>;
  const withLabel = (change: object) => ({
    [AUTHORITATIVE_LABEL]: JSON.stringify({ ...authoritative, ...change }),
  });
  for (const [what, name, labels] of [
    ["a plain container", "web", {}],
    ["a container without labels", "web", null],
    ["our labels on another name", "web", ours],
    ["a k8s_ name without labels", sandboxDockerName, {}],
    [
      "a k8s_ name with the other type",
      sandboxDockerName,
      { "io.kubernetes.docker.type": "container" },
    ],
    ["an unknown version", sandboxDockerName, withLabel({ v: 2 })],
    ["another name in the label", sandboxDockerName, withLabel({ name: "k8s_POD_a_b_c_0" })],
    ["an unknown kind", sandboxDockerName, withLabel({ kind: "vm" })],
    ["the kind of the other form", sandboxDockerName, withLabel({ kind: "container" })],
    ["labels that are no map", sandboxDockerName, withLabel({ labels: [] })],
    ["labels that are no strings", sandboxDockerName, withLabel({ labels: { a: 1 } })],
    ["annotations missing", sandboxDockerName, withLabel({ annotations: null })],
    ["a label that is no object", sandboxDockerName, { [AUTHORITATIVE_LABEL]: "[]" }],
    ["a label that is no JSON", sandboxDockerName, { [AUTHORITATIVE_LABEL]: "{" }],
  ] as [string, string, Record<string, string> | null][]) {
    it(`does not take ${what} for its own`, () => {
      expect(readIdentity({ name, labels })).to.equal(undefined);
      expect(needsImageLabels({ name, labels })).to.equal(false);
    });
  }

  it("tolerates missing optional members", () => {
    const bare = { v: 1, name: sandboxDockerName, kind: "podsandbox", labels: {}, annotations: {} };
    const identity = readIdentity({
      name: sandboxDockerName,
      labels: { [AUTHORITATIVE_LABEL]: JSON.stringify(bare) },
    });
    expect(identity).to.deep.include({ runtimeHandler: "", extra: {}, legacy: false });
  });

  for (const [directory, path, expected] of [
    ["/var/log/pods/x", "app/0.log", "/var/log/pods/x/app/0.log"],
    ["/var/log/pods/x/", "./app//0.log", "/var/log/pods/x/app/0.log"],
    ["/", "0.log", "/0.log"],
    ["/var/log", "a/../b.log", "/var/log/b.log"],
    ["/var/log", "", ""],
    ["", "0.log", ""],
  ] as const) {
    it(`joins ${JSON.stringify(directory)} and ${JSON.stringify(path)}`, () => {
      const config = create(ContainerConfigSchema, { logPath: path });
      const labels = toContainerLabels(config, { logDirectory: directory }, "s", "n", "");
      expect(labels["io.kubernetes.container.logpath"]).to.equal(expected);
    });
  }

  for (const [directory, path] of [
    ["/var/log", "../../etc/cron.d/x"],
    ["/var/log", "/etc/cron.d/x"],
    ["/var/log", "a/../.."],
    ["/var/log", "."],
    ["/var/log", "a/"],
    ["/var/log", "a\0b"],
    ["/var/log", "a\nb"],
    ["/var/log", "a".repeat(4096)],
    ["var/log", "0.log"],
    ["/var/log\n", "0.log"],
  ] as const) {
    it(`refuses the log path ${JSON.stringify([directory, path.slice(0, 20)])}`, () => {
      const config = create(ContainerConfigSchema, { logPath: path });
      expect(() => toContainerLabels(config, { logDirectory: directory }, "s", "n", ""))
        .to.throw(CriError, /log_(path|directory)/)
        .with.property("kind", "InvalidArgument");
    });
  }
});
