import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import { toContainer, toContainerStatus } from "../../../src/convert/container-out.ts";
import {
  ContainerSchema,
  ContainerState,
  ContainerStatusSchema,
  MountPropagation,
  Signal,
} from "../../../src/gen/runtime/v1/api_pb.js";
import { modern } from "./support.ts";

import {
  config,
  containerFacts,
  createdAtNs,
  digest,
  id,
  imageId,
  inspectOf,
  legacyFacts,
  names,
  sandboxId,
  state,
} from "./out-support.ts";

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
