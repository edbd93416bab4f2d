import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import {
  isContainer,
  isSandbox,
  type ContainerFacts,
  type SandboxFacts,
} from "../../../src/convert/container-facts.ts";
import { toContainer, toContainerStatus } from "../../../src/convert/container-out.ts";
import { toImage } from "../../../src/convert/image-out.ts";
import { readIdentity, toContainerLabels, toSandboxLabels } from "../../../src/convert/labels.ts";
import { toPodSandbox, toPodSandboxStatus } from "../../../src/convert/sandbox-out.ts";
import {
  decodeContainerSpec,
  decodeSandboxSpec,
  encodeContainerSpec,
  encodeSandboxSpec,
} from "../../../src/convert/stored-spec.ts";
import type { ContainerInspect, ContainerState as DockerState } from "../../../src/engine/types.ts";
import {
  ContainerConfigSchema,
  ContainerSchema,
  ContainerState,
  ContainerStatusSchema,
  MountPropagation,
  NamespaceMode,
  PodSandboxConfigSchema,
  PodSandboxState,
  PodSandboxStatusSchema,
  Signal,
} from "../../../src/gen/runtime/v1/api_pb.js";
import { modern } from "./support.ts";

const id = "1".repeat(64);
const sandboxId = "2".repeat(64);
const imageId = `sha256:${"3".repeat(64)}`;
const digest = `sha256:${"4".repeat(64)}`;
const createdAtNs = 1_704_067_200_123_456_789n;
const state: DockerState = {
  Status: "running",
  Running: true,
  Paused: false,
  Restarting: false,
  OOMKilled: false,
  Dead: false,
  Pid: 42,
  ExitCode: 0,
  Error: "",
  StartedAt: "2024-01-01T00:00:01.000000001Z",
  FinishedAt: "0001-01-01T00:00:00Z",
};

function inspectOf(fields: {
  HostConfig?: ContainerInspect["HostConfig"];
  Config?: Partial<ContainerInspect["Config"]>;
  Mounts?: ContainerInspect["Mounts"] & object;
}): ContainerInspect {
  return {
    Id: id,
    Name: "/x",
    Created: "2024-01-01T00:00:00.123456789Z",
    State: state,
    Image: imageId,
    ResolvConfPath: "",
    LogPath: "",
    HostConfig: fields.HostConfig ?? {},
    ...(fields.Mounts === undefined ? {} : { Mounts: fields.Mounts }),
    Config: {
      Hostname: "",
      User: "",
      Env: null,
      Cmd: null,
      Entrypoint: null,
      Image: imageId,
      WorkingDir: "",
      Labels: {},
      Tty: false,
      OpenStdin: false,
      StdinOnce: false,
      ...fields.Config,
    },
    NetworkSettings: {},
  };
}

const config = create(ContainerConfigSchema, {
  image: {
    image: imageId,
    userSpecifiedImage: "busybox:1.36",
    annotations: { note: "n" },
    runtimeHandler: "runc",
  },
  mounts: [
    {
      containerPath: "/dev/termination-log",
      hostPath: "/var/lib/kubelet/pods/u/containers/app/0",
      propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
      selinuxRelabel: true,
    },
    { containerPath: "/img", image: { image: imageId }, imageSubPath: "a" },
    { containerPath: "/img2", image: { image: "busybox" } },
    { containerPath: "/img3", image: { image: imageId, imageRef: "kept" } },
  ],
  labels: { a: "1" },
  annotations: { b: "2" },
  logPath: "app/0.log",
  stopSignal: Signal.SIGINT,
  linux: { resources: { cpuShares: 102n, cpuQuota: 500n, unified: { "memory.oom.group": "1" } } },
});

function containerFacts(change: Partial<ContainerFacts> = {}): ContainerFacts {
  const name = "k8s_app_web_default_u-1_2";
  const labels = toContainerLabels(
    config,
    { logDirectory: "/var/log/pods/p" },
    sandboxId,
    name,
    "",
    {
      spec: encodeContainerSpec(config),
    },
  );
  const facts = {
    id,
    identity: readIdentity({ name, labels })!,
    createdAtNs,
    state,
    inspect: undefined,
    imageId,
    image: imageId,
  };
  if (!isContainer(facts)) throw new Error("not a container");
  return { ...facts, ...change };
}

function legacyFacts(change: Partial<ContainerFacts> = {}): ContainerFacts {
  const identity = readIdentity({
    name: "k8s_app_web_default_u-1_2",
    labels: {
      "io.kubernetes.docker.type": "container",
      "io.kubernetes.sandbox.id": sandboxId,
      "io.kubernetes.container.logpath": "/var/log/x",
    },
  })!;
  if (identity.kind !== "container") throw new Error("not a container");
  return containerFacts({ identity, image: "busybox", ...change });
}

const names = {
  repoTags: ["other:1", "busybox:1.36", "busybox:latest"],
  repoDigests: [`other@${digest}`, `busybox@${digest}`],
};

describe("convert/container-out", () => {
  it("shows a container in lists before it was inspected", () => {
    const listed = toContainer(containerFacts(), names);
    expect(fromBinary(ContainerSchema, toBinary(ContainerSchema, listed))).to.deep.equal(
      create(ContainerSchema, {
        id,
        podSandboxId: sandboxId,
        metadata: { name: "app", attempt: 2 },
        image: {
          image: "docker.io/library/busybox:1.36",
          userSpecifiedImage: "busybox:1.36",
          annotations: { note: "n" },
          runtimeHandler: "runc",
        },
        imageRef: `docker.io/library/busybox@${digest}`,
        imageId,
        state: ContainerState.CONTAINER_RUNNING,
        createdAt: createdAtNs,
        labels: { a: "1" },
        annotations: { b: "2" },
      }),
    );
  });

  it("shows the whole status", () => {
    const inspect = inspectOf({
      Config: { User: "1:2", StopSignal: "SIGINT" },
      HostConfig: { CpuShares: 102, CpuQuota: 1000, GroupAdd: ["3", "2"] },
    });
    const facts = containerFacts({ inspect });
    const status = toContainerStatus(facts, { image: names, engine: modern });
    const listed = toContainer(facts, names);
    const [termination, image, named, kept] = config.mounts;
    expect(
      fromBinary(ContainerStatusSchema, toBinary(ContainerStatusSchema, status)),
    ).to.deep.equal(
      create(ContainerStatusSchema, {
        id,
        metadata: { name: "app", attempt: 2 },
        state: ContainerState.CONTAINER_RUNNING,
        createdAt: createdAtNs,
        startedAt: 1_704_067_201_000_000_001n,
        image: listed.image!,
        imageRef: listed.imageRef,
        imageId,
        labels: { a: "1" },
        annotations: { b: "2" },
        mounts: [
          termination!,
          { ...image!, image: { ...image!.image!, imageRef: imageId } },
          named!,
          kept!,
        ],
        logPath: "/var/log/pods/p/app/0.log",
        resources: { linux: config.linux!.resources! },
        user: { linux: { uid: 1n, gid: 2n, supplementalGroups: [2n, 3n] } },
        stopSignal: Signal.SIGINT,
      }),
    );
  });

  it("prefers what was seen and asked last", () => {
    const resources = { ...config.linux!.resources!, cpuShares: 204n };
    const status = toContainerStatus(
      containerFacts({ inspect: inspectOf({ HostConfig: { CpuShares: 204, CpuQuota: 1000 } }) }),
      {
        image: undefined,
        engine: modern,
        resources,
        user: { uid: 9n, gid: 8n, supplementalGroups: [7n] },
      },
    );
    expect(status.resources?.linux?.cpuShares).to.equal(204n);
    expect(status.user?.linux).to.deep.include({ uid: 9n, gid: 8n, supplementalGroups: [7n] });
  });

  for (const user of ["", "app", "1", "1:staff", "app:1"]) {
    it(`does not guess the ids of user "${user}"`, () => {
      const inspect = inspectOf({ Config: { User: user } });
      const status = toContainerStatus(containerFacts({ inspect }), {
        image: names,
        engine: modern,
      });
      expect(status.user).to.equal(undefined);
    });
  }

  it("says nothing of resources and user before the first inspect", () => {
    const status = toContainerStatus(containerFacts(), { image: names, engine: modern });
    expect(status.resources).to.equal(undefined);
    expect(status.user).to.equal(undefined);
    expect(status.stopSignal).to.equal(Signal.SIGTERM);
  });

  it("shows an exit", () => {
    const exited = {
      ...state,
      Status: "exited",
      ExitCode: 137,
      OOMKilled: true,
      Error: "e",
      FinishedAt: "2024-01-01T00:00:02Z",
    } as const;
    const status = toContainerStatus(containerFacts({ state: exited }), {
      image: names,
      engine: modern,
    });
    expect(status).to.include({
      state: ContainerState.CONTAINER_EXITED,
      exitCode: 137,
      reason: "OOMKilled",
      message: "e",
      finishedAt: 1_704_067_202_000_000_000n,
    });
  });

  for (const [what, facts, image, shown, ref] of [
    [
      "an image that is gone",
      containerFacts(),
      undefined,
      "docker.io/library/busybox:1.36",
      imageId,
    ],
    [
      "an image with another tag",
      containerFacts(),
      { repoTags: ["z:1", "r.example/a:2", "<none>:<none>", "moby-dangling@x"], repoDigests: [] },
      "docker.io/library/z:1",
      imageId,
    ],
    [
      "an image with digests alone",
      containerFacts(),
      { repoTags: [], repoDigests: [`b@${digest}`, `a@${digest}`, "<none>@<none>"] },
      "docker.io/library/busybox:1.36",
      `docker.io/library/a@${digest}`,
    ],
    [
      "a legacy container",
      legacyFacts(),
      names,
      "docker.io/library/busybox:latest",
      `docker.io/library/busybox@${digest}`,
    ],
    [
      "a legacy container made by id",
      legacyFacts({ image: imageId }),
      { repoTags: [], repoDigests: [`a@${digest}`] },
      `docker.io/library/a@${digest}`,
      `docker.io/library/a@${digest}`,
    ],
    ["nothing but an id", legacyFacts({ image: imageId }), undefined, imageId, imageId],
    [
      "a container not inspected yet",
      legacyFacts({ image: "busybox", imageId: "" }),
      undefined,
      "docker.io/library/busybox:latest",
      "busybox",
    ],
    ["a name that is none", legacyFacts({ image: "A B", imageId }), undefined, "A B", imageId],
  ] as const) {
    it(`names ${what}`, () => {
      const listed = toContainer(facts, image);
      expect(listed.image?.image).to.equal(shown);
      expect(listed.imageRef).to.equal(ref);
    });
  }

  it("shows a legacy container's mounts as Docker lists them", () => {
    const inspect = inspectOf({
      Mounts: [
        { Type: "bind", Source: "/s", Destination: "/z", RW: false, Propagation: "rshared" },
        { Type: "bind", Source: "/h:x", Destination: "/a", RW: true, Propagation: "rslave" },
        { Type: "bind", Source: "/p", Destination: "/b", RW: true, Propagation: "rprivate" },
        { Type: "bind", Source: "/q", Destination: "/c", RW: true },
        { Type: "volume", Name: "v", Source: "/v", Destination: "/v", RW: true },
      ],
    });
    const mounts = toContainerStatus(legacyFacts({ inspect }), {
      image: names,
      engine: modern,
    }).mounts;
    expect(
      mounts.map((m) => [m.containerPath, m.hostPath, m.readonly, m.propagation]),
    ).to.deep.equal([
      ["/a", "/h:x", false, MountPropagation.PROPAGATION_HOST_TO_CONTAINER],
      ["/b", "/p", false, MountPropagation.PROPAGATION_PRIVATE],
      ["/c", "/q", false, MountPropagation.PROPAGATION_PRIVATE],
      ["/z", "/s", true, MountPropagation.PROPAGATION_BIDIRECTIONAL],
    ]);
    expect(toContainerStatus(legacyFacts(), { image: names, engine: modern }).mounts).to.deep.equal(
      [],
    );
  });
});

describe("convert/sandbox-out", () => {
  const sandboxConfig = create(PodSandboxConfigSchema, {
    labels: { a: "1" },
    annotations: { b: "2" },
    logDirectory: "/var/log/pods/p",
    linux: {
      cgroupParent: "/x",
      securityContext: {
        namespaceOptions: { pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.NODE },
      },
      overhead: { cpuShares: 2n },
      resources: { cpuShares: 3n },
    },
  });
  const facts = (
    identity: NonNullable<ReturnType<typeof readIdentity>>,
    change: object = {},
  ): SandboxFacts => {
    const all = { ...containerFacts(), identity, ...change };
    if (!isSandbox(all)) throw new Error("not a sandbox");
    return all;
  };
  const name = "k8s_POD_web_default_u-1_4";
  const own = readIdentity({
    name,
    labels: toSandboxLabels(sandboxConfig, "crun", name, {
      spec: encodeSandboxSpec(sandboxConfig),
    }),
  })!;
  const legacy = readIdentity({ name, labels: { "io.kubernetes.docker.type": "podsandbox" } })!;

  it("shows a sandbox", () => {
    const status = toPodSandboxStatus(facts(own), { ready: true, ips: ["10.0.0.2", "fd00::2"] });
    expect(
      fromBinary(PodSandboxStatusSchema, toBinary(PodSandboxStatusSchema, status)),
    ).to.deep.equal(
      create(PodSandboxStatusSchema, {
        id,
        metadata: { name: "web", namespace: "default", uid: "u-1", attempt: 4 },
        state: PodSandboxState.SANDBOX_READY,
        createdAt: createdAtNs,
        network: { ip: "10.0.0.2", additionalIps: [{ ip: "fd00::2" }] },
        linux: {
          namespaces: { options: { pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.NODE } },
        },
        labels: { a: "1" },
        annotations: { b: "2" },
        runtimeHandler: "crun",
      }),
    );
    const listed = toPodSandbox(facts(own), { ready: true });
    for (const key of [
      "id",
      "metadata",
      "state",
      "createdAt",
      "labels",
      "annotations",
      "runtimeHandler",
    ] as const) {
      expect(listed[key]).to.deep.equal(status[key]);
    }
  });

  it("is not READY before its network, nor after its end, and then has no address", () => {
    for (const [change, ready] of [
      [{}, false],
      [{ state: { ...state, Status: "exited" } }, true],
    ] as const) {
      const status = toPodSandboxStatus(facts(own, change), { ready, ips: ["10.0.0.2"] });
      expect(status.state).to.equal(PodSandboxState.SANDBOX_NOTREADY);
      expect(status.network).to.deep.include({ ip: "", additionalIps: [] });
    }
  });

  for (const [what, hostConfig, network, pid, ipc, handler] of [
    [
      "own namespaces",
      { NetworkMode: "none", IpcMode: "shareable", Runtime: "runc" },
      NamespaceMode.POD,
      NamespaceMode.CONTAINER,
      NamespaceMode.POD,
      "runc",
    ],
    [
      "the host's",
      { NetworkMode: "host", IpcMode: "host", PidMode: "host" },
      NamespaceMode.NODE,
      NamespaceMode.NODE,
      NamespaceMode.NODE,
      "",
    ],
  ] as const) {
    it(`reads a legacy sandbox with ${what} from Docker`, () => {
      const inspect = inspectOf({ HostConfig: hostConfig });
      const status = toPodSandboxStatus(facts(legacy, { inspect }), {
        ready: true,
        ips: ["10.0.0.2"],
      });
      expect(status.linux?.namespaces?.options).to.deep.include({ network, pid, ipc });
      expect(status.runtimeHandler).to.equal(handler);
      expect(status.network?.ip).to.equal("10.0.0.2");
    });
  }

  it("reads a legacy sandbox that was not inspected", () => {
    const status = toPodSandboxStatus(facts(legacy), { ready: true, ips: [] });
    expect(status.linux?.namespaces?.options?.network).to.equal(NamespaceMode.POD);
    expect(status.runtimeHandler).to.equal("");
    expect(isContainer(facts(legacy))).to.equal(false);
  });

  it("keeps what it needs of a sandbox's request", () => {
    const kept = decodeSandboxSpec(encodeSandboxSpec(sandboxConfig))!;
    expect(kept.logDirectory).to.equal("/var/log/pods/p");
    expect(kept.linux).to.deep.equal(sandboxConfig.linux);
    expect(
      decodeSandboxSpec(encodeSandboxSpec(create(PodSandboxConfigSchema, {})))?.linux?.cgroupParent,
    ).to.equal("");
    expect(decodeSandboxSpec(undefined)).to.equal(undefined);
    expect(decodeSandboxSpec("////")).to.equal(undefined);
    expect(decodeContainerSpec(undefined)).to.equal(undefined);
    expect(decodeContainerSpec("////")).to.equal(undefined);
    expect(
      decodeContainerSpec(encodeContainerSpec(create(ContainerConfigSchema, {})))?.image,
    ).to.equal(undefined);
  });
});

describe("convert/image-out", () => {
  it("shows an image with sorted full names", () => {
    const image = toImage(
      { Id: imageId, Size: 2 ** 40, Config: { User: "1000:5" } },
      {
        repoTags: [
          "z:1",
          "<none>:<none>",
          `a@${digest}`,
          "docker.io/library/z:1",
          "r.example/b:2",
          "UPPER CASE",
        ],
        repoDigests: [`z@${digest}`, "<none>@<none>", "odd"],
      },
      true,
    );
    expect(image).to.deep.include({
      id: imageId,
      repoTags: ["UPPER CASE", "docker.io/library/z:1", "r.example/b:2"],
      repoDigests: [`docker.io/library/z@${digest}`],
      size: 2n ** 40n,
      username: "",
      pinned: true,
    });
    expect(image.uid?.value).to.equal(1000n);
  });

  it("never shows a size of 0, and a user by name as name", () => {
    const image = toImage(
      { Id: imageId, Size: 0, Config: { User: "4294967296" } },
      { repoTags: [], repoDigests: [] },
      false,
    );
    expect(image).to.include({ size: 1n, username: "4294967296", pinned: false });
    expect(image.uid).to.equal(undefined);
    expect(
      toImage({ Id: imageId, Size: 1.5 }, { repoTags: [], repoDigests: [] }, false).size,
    ).to.equal(1n);
  });
});
