import { randomBytes } from "node:crypto";
import { request } from "node:http";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { json } from "node:stream/consumers";
import { join } from "node:path";
import { expect } from "chai";
import { until } from "../support/containers.ts";
import { startNode, type TestNode } from "../support/node.ts";
import {
  expectNoEdits,
  hostId,
  inUserns,
  startUsernsNode,
  usernsPod,
} from "../support/oci-node.ts";
import type { UsernsNode } from "../support/oci-node.ts";
import { containerConfig, createContainer, hostSandboxConfig, removePod } from "../support/pods.ts";
import { runPod, shell, startContainer } from "../support/pods.ts";
import type { ContainerInit, RunningPod } from "../support/pods.ts";
import { busybox } from "../support/test-images.ts";
import { exitCodeOf } from "../support/until.ts";

/** A request that Dockline's own client has no method for. */
async function ask<T>(node: TestNode, method: string, path: string): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const headers = { "Content-Type": "application/json", "Content-Length": 2 };
    const sent = request({ socketPath: node.upstream, method, path, headers }, (answer) => {
      const body =
        answer.statusCode === 204 ? (answer.resume(), Promise.resolve({})) : json(answer);
      body.then((value) => resolve(value as T), reject);
    });
    sent.on("error", reject);
    sent.end("{}");
  });
}

const volumesOf = async (node: TestNode): Promise<string[]> => {
  const { Volumes } = await ask<{ Volumes: { Name: string }[] | null }>(node, "GET", "/volumes");
  return (Volumes ?? []).map(({ Name }) => Name).sort();
};

/** An image on this engine that a container's command made, with VOLUME for these paths. */
async function imageWith(node: TestNode, command: string, volumes: string[]): Promise<string> {
  const name = `dockline-volumes-${randomBytes(4).toString("hex")}`;
  const { id } = await node.docker.createContainer(name, {
    Image: busybox,
    Entrypoint: ["sh", "-c", command],
    Cmd: [],
    Labels: {},
    HostConfig: { NetworkMode: "none", RestartPolicy: { Name: "no" } },
  });
  try {
    await node.docker.startContainer(id);
    expect(await exitCodeOf(node.docker, id)).to.equal(0);
    const query = new URLSearchParams({ container: id, repo: `${name}/image`, tag: "1" });
    query.append("changes", `VOLUME ${JSON.stringify(volumes)}`);
    await ask(node, "POST", `/commit?${query.toString()}`);
    return `${name}/image:1`;
  } finally {
    await node.docker.removeContainer(id);
  }
}

const SEED = "mkdir /data && echo seed >/data/f && chown -R 1000:1000 /data && chmod 700 /data";

describe("volumes that an image declares", () => {
  let node: TestNode;
  let pod: RunningPod;
  let image: string;
  let named: string;
  let start: string[];

  before(async () => {
    node = await startNode({ withoutNetwork: true });
    pod = await runPod(node, hostSandboxConfig(node));
    image = await imageWith(node, SEED, ["/data", "/other"]);
    // One of somebody else's, without a container.
    ({ Name: named } = await ask<{ Name: string }>(node, "POST", "/volumes/create"));
  });
  after(async () => {
    await removePod(node, pod);
    await node.docker.removeImage(image);
    await ask(node, "DELETE", `/volumes/${named}`);
    await node.close();
  });
  beforeEach(async () => {
    start = await volumesOf(node);
  });
  afterEach(async () => {
    expect(await volumesOf(node)).to.deep.equal(start);
  });
  const config = (fields: ContainerInit = {}): ContainerInit =>
    containerConfig("sleep 1000", { image: { image }, ...fields });

  it("are filled from the image, and removed with their container", async () => {
    const containerId = await startContainer(node, pod, config());
    expect(await volumesOf(node)).to.have.length(start.length + 2);
    expect(await shell(node, containerId, "cat /data/f; stat -c %u:%a /data")).to.equal(
      "seed\n1000:700",
    );
    await node.runtime.removeContainer({ containerId });
  });

  it("are removed with a pod, and after Dockline was killed", async () => {
    const other = await runPod(node, hostSandboxConfig(node));
    await startContainer(node, other, config());
    await createContainer(node, other, config({ metadata: { name: "second" } }));
    await node.kill();
    await node.start();
    await removePod(node, other);
  });

  it("are not made where a mount is at the same place", async () => {
    const hostPath = join(node.folder, "own");
    mkdirSync(hostPath);
    writeFileSync(join(hostPath, "f"), "own\n");
    const mounts = [
      { hostPath, containerPath: "/data/" },
      { hostPath, containerPath: "/other/in" },
    ];
    const containerId = await startContainer(node, pod, config({ mounts }));
    expect(await volumesOf(node)).to.have.length(start.length + 1);
    expect(await shell(node, containerId, "cat /data/f /other/in/f")).to.equal("own\nown");
    await node.runtime.removeContainer({ containerId });
  });

  it("leave nothing behind of the look at an image's accounts", async () => {
    const securityContext = { runAsUser: { value: 1000n }, supplementalGroupsPolicy: 1 };
    const linux = { resources: {}, securityContext };
    const containerId = await createContainer(node, pod, config({ linux }));
    await node.runtime.removeContainer({ containerId });
  });
});

describe("volumes that an image declares, in a pod with a user namespace", function () {
  this.timeout(120_000);
  let oci: UsernsNode;
  let pod: RunningPod;

  before(async function () {
    const started = await startUsernsNode();
    if (started === undefined) return this.skip();
    oci = started;
  });
  after(async () => {
    await (oci as UsernsNode | undefined)?.close();
  });
  beforeEach(async () => {
    pod = await runPod(oci.node, usernsPod(oci.node));
  });
  afterEach(() => expectNoEdits(oci));

  it("have the image's owners for every user, and files of the container's", async () => {
    const image = await imageWith(oci.node, SEED, ["/data/", "/none"]);
    for (const value of [1000n, 0n]) {
      const linux = inUserns({ runAsUser: { value } });
      const one = containerConfig("sleep 1000", { image: { image }, linux });
      const id = await startContainer(oci.node, pod, one);
      const line = "touch /data/x && stat -c %u /data /data/f /data/x && cat /data/f";
      expect(await shell(oci.node, id, line)).to.equal(`1000\n1000\n${value}\nseed`);
      const { Mounts = [] } = await oci.node.docker.inspectContainer(id);
      const source = Mounts.find(({ Destination }) => Destination === "/data")?.Source ?? "";
      expect(statSync(join(source, "x")).uid)
        .to.equal(Number(value))
        .and.below(hostId);
      await oci.node.runtime.removeContainer({ containerId: id });
    }
    expect(await volumesOf(oci.node)).to.deep.equal([]);
  });

  it("take mounts within them, as that of the service account's token", async () => {
    const image = await imageWith(oci.node, "rm -rf /var/run; ln -s /run /var/run; mkdir -p /run", [
      "/run",
    ]);
    const hostPath = oci.folder("token");
    writeFileSync(join(hostPath, "token"), "secret\n");
    const containerPath = "/var/run/secrets/kubernetes.io/serviceaccount";
    const mounts = [{ hostPath, containerPath, readonly: true }];
    const one = containerConfig("sleep 1000", { image: { image }, linux: inUserns(), mounts });
    const id = await startContainer(oci.node, pod, one);
    expect(await shell(oci.node, id, `cat ${containerPath}/token; touch /run/x; echo ok`)).to.equal(
      "secret\nok",
    );
    await oci.node.runtime.removeContainer({ containerId: id });
    await until("no volume is left", async () => (await volumesOf(oci.node)).length === 0);
  });
});
