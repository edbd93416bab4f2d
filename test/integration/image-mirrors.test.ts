import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { status as GrpcCode } from "@grpc/grpc-js";
import { pauseProgram } from "../../src/images/pause-program.ts";
import { failure, removeImagesOf } from "../support/images.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { hostSandboxConfig, removePod, runPod } from "../support/pods.ts";
import { account, freePort, startRegistry } from "../support/registry.ts";
import type { TestRegistry } from "../support/registry.ts";
import { registryImage } from "../support/registry-image.ts";

const architecture = process.arch === "arm64" ? "arm64" : "amd64";

/** Registries for which the engine supports no mirrors: all but docker.io. */
describe("PullImage through mirrors and with the node's credentials", () => {
  const folder = mkdtempSync(join(tmpdir(), "dockline-auth-"));
  const authFile = join(folder, "config.json");
  let node: TestNode;
  let open: TestRegistry;
  let locked: TestRegistry;
  /** A registry that nobody answers for: only its mirrors have its images. */
  let away: string;
  const image = { files: [{ path: "a", content: "mirrored" }], config: { Cmd: ["/a"] } };
  const pauseReference = (): string => `${locked.host}/pause/pause:1`;

  before(async () => {
    [open, locked] = await Promise.all([startRegistry(), startRegistry({ password: true })]);
    away = `127.0.0.1:${await freePort()}`;
    await open.push("own/only-here", ["1"], { ...image, salt: "own" });
    await open.push("copies/team/app", ["1"], image);
    await locked.push("team/app", ["1", "2"], { ...image, salt: "locked" });
    const content = await pauseProgram(architecture);
    await locked.push("pause/pause", ["1"], {
      files: [{ path: "pause", content, mode: 0o555 }],
      config: { Entrypoint: ["/pause"] },
      salt: "pause",
    });
    writeAuth(account.password);
    const nobody = `127.0.0.1:${await freePort()}`;
    node = await startNode({
      withoutNetwork: true,
      args: [
        `--registry-mirrors=${away}=${nobody},${away}=${open.host}/copies,${away}=${locked.host},${open.host}=${nobody}`,
        // Private images have a mirror in front of them that asks for nothing and lacks them.
        `--registry-mirrors=${locked.host}=${open.host}/none`,
        `--registry-auth-file=${authFile}`,
        `--pod-infra-container-image=${pauseReference()}`,
      ],
    });
  });
  after(async () => {
    await Promise.all([open.close(), locked.close()]);
    await node.close();
    rmSync(folder, { recursive: true });
  });
  beforeEach(() => {
    writeAuth(account.password);
    node.proxy.reset();
  });
  afterEach(async () => {
    for (const host of [away, open.host, locked.host]) await removeImagesOf(node, host);
  });

  const writeAuth = (password: string, mode = 0o600): void => {
    const auths = { [`http://${locked.host}/v2/`]: { username: account.username, password } };
    writeFileSync(authFile, JSON.stringify({ auths }));
    chmodSync(authFile, mode);
  };
  const pull = (reference: string, auth?: object): Promise<{ imageRef: string }> =>
    node.images.pullImage({
      image: { image: reference },
      ...(auth === undefined ? {} : { auth }),
    });
  const statusOf = async (reference: string) =>
    (await node.images.imageStatus({ image: { image: reference } })).image;

  it("gives an image by tag its asked name", async () => {
    const reference = `${away}/team/app:1`;
    const { imageRef } = await pull(reference);
    const found = await statusOf(reference);
    expect(found?.id).to.equal(imageRef);
    expect(found?.repoTags).to.include(reference);
    const { manifestDigest } = await registryImage(image);
    expect(found?.repoDigests).to.include(`${away}/team/app@${manifestDigest}`);
    // It can be pulled again: the kubelet may collect it.
    expect(found?.pinned).to.equal(false);
    const { images } = await node.images.listImages({});
    expect(images.find(({ id }) => id === imageRef)).to.deep.equal(found);
    expect((await pull(reference)).imageRef).to.equal(imageRef);
    await node.images.removeImage({ image: { image: reference } });
    expect(await statusOf(imageRef)).to.equal(undefined);
  });

  it("finds an image by its asked digest", async () => {
    const { manifestDigest } = await registryImage(image);
    const reference = `${away}/team/app@${manifestDigest}`;
    const { imageRef } = await pull(reference);
    const found = await statusOf(reference);
    expect(found?.id).to.equal(imageRef);
    expect(found?.repoTags).to.deep.equal([]);
    expect(found?.repoDigests).to.include(reference);
    expect(found?.pinned).to.equal(false);
    expect((await statusOf(`${away}/team/app:1@${manifestDigest}`))?.id).to.equal(imageRef);
    await node.kill();
    await node.start();
    expect((await statusOf(reference))?.id).to.equal(imageRef);
    await node.images.removeImage({ image: { image: reference } });
    expect(await statusOf(imageRef)).to.equal(undefined);
    expect(await statusOf(reference)).to.equal(undefined);
  });

  it("goes on to the next mirror, with the node's credentials for that one", async () => {
    const { imageRef } = await pull(`${away}/team/app:2`);
    expect((await statusOf(`${away}/team/app:2`))?.id).to.equal(imageRef);
    expect(node.proxy.count(/^POST \/images\/create$/)).to.equal(3);
  });

  it("does not show a mirror the kubelet's credentials", async () => {
    writeAuth("canary-wrong-51");
    const error = await failure(pull(`${away}/team/app:2`, account));
    expect(error.code).to.equal(GrpcCode.UNKNOWN);
    expect(error.details).to.match(/^RegistryUnavailable: .*refused.*mirrors failed before: /);
    expect(error.details).to.include(`${locked.host}/team/app`);
    expect(error.details).to.not.include("canary");
  });

  it("comes to the registry itself at last", async () => {
    const { imageRef } = await pull(`${open.host}/own/only-here:1`);
    expect((await statusOf(`${open.host}/own/only-here:1`))?.id).to.equal(imageRef);
  });

  it("uses the node's credentials where the kubelet gives none, and follows their change", async () => {
    const reference = `${locked.host}/team/app:1`;
    await pull(reference);
    expect((await failure(pull(reference, { ...account, password: "canary-52" }))).code).to.equal(
      GrpcCode.UNKNOWN,
    );
    writeAuth("canary-wrong-53");
    expect((await failure(pull(reference))).code).to.equal(GrpcCode.UNKNOWN);
    // The kubelet's own win.
    await pull(reference, account);
    writeAuth(account.password);
    await pull(reference);
  });

  it("does not use a file that others may read, and says so", async () => {
    writeAuth(account.password, 0o644);
    const error = await failure(pull(`${locked.host}/team/app:1`));
    expect(error.details).to.match(/without credentials: .*config\.json: .*chmod 600/);
    expect(error.details).to.not.include("canary");
  });

  it("pulls the pause image with them", async () => {
    const pod = await runPod(node, hostSandboxConfig(node));
    const { Config } = await node.docker.inspectContainer(pod.podSandboxId);
    expect(Config.Image).to.equal(pauseReference());
    expect((await statusOf(pauseReference()))?.repoDigests.join(" ")).to.include(
      `${locked.host}/pause/pause@sha256:`,
    );
    await removePod(node, pod);
    expect(node.log()).to.not.include("loading the embedded one");
  });

  it("writes no secret into its log", () => {
    expect(node.log()).to.include("a mirror failed");
    expect(node.log()).to.not.include("canary");
  });
});

describe("a private pause image on a node whose credentials are in Docker's own file", () => {
  it("is pulled, as cri-dockerd pulls it", async () => {
    const home = mkdtempSync(join(tmpdir(), "dockline-home-"));
    const locked = await startRegistry({ password: true });
    const reference = `${locked.host}/private/pause:3`;
    await locked.push("private/pause", ["3"], {
      files: [{ path: "pause", content: await pauseProgram(architecture), mode: 0o555 }],
      config: { Entrypoint: ["/pause"] },
      salt: "private",
    });
    mkdirSync(join(home, ".docker"));
    const auth = Buffer.from(`${account.username}:${account.password}`).toString("base64");
    const file = join(home, ".docker/config.json");
    writeFileSync(file, JSON.stringify({ auths: { [locked.host]: { auth } } }), { mode: 0o644 });
    const node = await startNode({
      withoutNetwork: true,
      args: [`--pod-infra-container-image=${reference}`],
      environment: { HOME: home },
    });
    try {
      const pod = await runPod(node, hostSandboxConfig(node));
      const { image } = await node.images.imageStatus({ image: { image: reference } });
      expect(image?.repoDigests.join(" ")).to.include(`${locked.host}/private/pause@sha256:`);
      expect(node.log()).to.not.include("loading the embedded one");
      // They are for nothing else.
      const other = failure(node.images.pullImage({ image: { image: reference } }));
      expect((await other).code).to.equal(GrpcCode.UNKNOWN);
      await removePod(node, pod);
    } finally {
      await removeImagesOf(node, locked.host);
      await node.close();
      await locked.close();
      rmSync(home, { recursive: true });
    }
  });
});

describe("a wrong mirror in the configuration", () => {
  it("keeps Dockline from starting, by name", async () => {
    let said = "";
    await startNode({ withoutNetwork: true, args: ["--registry-mirrors=quay.io"] }).then(
      (node) => node.close(),
      (error: unknown) => {
        said = String(error);
      },
    );
    expect(said).to.match(/quay\.io.*want registry=mirror/);
  });
});
