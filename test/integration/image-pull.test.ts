import { expect } from "chai";
import { status as GrpcCode } from "@grpc/grpc-js";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import { failure, removeImagesOf } from "../support/images.ts";
import { account, freePort, startRegistry } from "../support/registry.ts";
import type { TestRegistry } from "../support/registry.ts";
import { registryImage } from "../support/registry-image.ts";
import { until } from "../support/until.ts";

const basic = (user: string, password: string): string =>
  Buffer.from(`${user}:${password}`).toString("base64");

describe("PullImage from a registry", () => {
  let node: TestNode;
  let open: TestRegistry;
  let locked: TestRegistry;
  let start: NodeState;
  const image = { files: [{ path: "a", content: "one" }], config: { Cmd: ["/a"] } };

  before(async () => {
    [node, open, locked] = await Promise.all([
      startNode({ withoutNetwork: true }),
      startRegistry(),
      startRegistry({ password: true }),
    ]);
    await open.push("dockline/one", ["test", "latest"], image);
    await locked.push("dockline/locked", ["1"], { ...image, salt: "locked" });
  });
  after(async () => {
    await Promise.all([open.close(), locked.close()]);
    await node.close();
  });
  beforeEach(() => {
    start = nodeState(node);
    node.proxy.reset();
  });
  afterEach(async () => {
    for (const { host } of [open, locked]) await removeImagesOf(node, host);
    await expectNothingLeft(node, start);
  });

  const pull = (reference: string, auth = {}): Promise<{ imageRef: string }> =>
    node.images.pullImage({ image: { image: reference }, auth });
  const statusOf = async (reference: string) =>
    (await node.images.imageStatus({ image: { image: reference } })).image;

  it("pulls by tag and gives back the id that ImageStatus has", async () => {
    const { imageRef } = await pull(`${open.host}/dockline/one:test`);
    const found = await statusOf(`${open.host}/dockline/one:test`);
    expect(imageRef).to.match(/^sha256:[0-9a-f]{64}$/);
    expect(found?.id).to.equal(imageRef);
    expect(found?.repoTags).to.deep.equal([`${open.host}/dockline/one:test`]);
  });

  it("takes latest where there is no tag, and only that", async () => {
    await pull(`${open.host}/dockline/one`);
    const found = await statusOf(`${open.host}/dockline/one`);
    expect(found?.repoTags).to.deep.equal([`${open.host}/dockline/one:latest`]);
  });

  it("pulls by digest: no tag, and the digest as asked", async () => {
    const { manifestDigest } = await registryImage(image);
    const reference = `${open.host}/dockline/one@${manifestDigest}`;
    const { imageRef } = await pull(reference);
    const found = await statusOf(reference);
    expect(found?.repoTags).to.deep.equal([]);
    expect(found?.repoDigests).to.deep.equal([reference]);
    expect(found?.id).to.equal(imageRef);
    // A tag beside the digest says nothing more.
    expect((await pull(`${open.host}/dockline/one:test@${manifestDigest}`)).imageRef).to.equal(
      imageRef,
    );
  });

  it("pulls an image a second time", async () => {
    const reference = `${open.host}/dockline/one:test`;
    expect(await pull(reference)).to.deep.equal(await pull(reference));
  });

  describe("with a password", () => {
    const forms: Record<string, (host: string) => object> = {
      "username and password": () => account,
      "auth, the encoded pair": () => ({ auth: basic(account.username, account.password) }),
      "username, password and the registry's address": (host) => ({
        ...account,
        serverAddress: host,
      }),
      "an address with scheme and path": (host) => ({
        ...account,
        serverAddress: `https://${host}/v2/`,
      }),
    };
    for (const [name, form] of Object.entries(forms)) {
      it(`takes ${name}`, async () => {
        const { imageRef } = await pull(`${locked.host}/dockline/locked:1`, form(locked.host));
        expect((await statusOf(imageRef))?.id).to.equal(imageRef);
      });
    }

    it("refuses wrong, foreign and missing credentials with code UNKNOWN", async () => {
      for (const auth of [
        { username: account.username, password: "canary-wrong-44" },
        { auth: basic(account.username, "canary-wrong-45") },
        { ...account, serverAddress: "other.example" },
        {},
      ]) {
        const error = await failure(pull(`${locked.host}/dockline/locked:1`, auth));
        expect(error.code, error.details).to.equal(GrpcCode.UNKNOWN);
        expect(error.details).to.match(/unauthorized|no basic auth|authentication/i);
        expect(error.details.length).to.be.below(400);
        expect(error.details).to.not.match(/RegistryUnavailable|SignatureValidation|canary/);
      }
      expect(await statusOf(`${locked.host}/dockline/locked:1`)).to.equal(undefined);
    });

    it("refuses an auth that is no pair and says nothing of it", async () => {
      const auth = { auth: Buffer.from("canary-without-colon").toString("base64") };
      const error = await failure(pull(`${locked.host}/dockline/locked:1`, auth));
      expect(error.code).to.equal(GrpcCode.INVALID_ARGUMENT);
      expect(error.details).to.not.include(auth.auth);
      expect(error.details).to.not.include("canary");
    });

    it("does not share a pull with a caller of other credentials", async () => {
      const reference = `${locked.host}/dockline/locked:1`;
      const results = await Promise.allSettled([
        pull(reference, account),
        pull(reference, { username: account.username, password: "canary-wrong-46" }),
        pull(reference),
        pull(reference, account),
      ]);
      expect(results.map(({ status }) => status)).to.deep.equal([
        "fulfilled",
        "rejected",
        "rejected",
        "fulfilled",
      ]);
      expect(node.proxy.count(/^POST \/images\/create$/)).to.equal(3);
    });
  });

  it("names an image that is not there", async () => {
    for (const name of ["dockline/one:none", "dockline/notary:503", "none/none:1"]) {
      const error = await failure(pull(`${open.host}/${name}`));
      expect(error.code).to.equal(GrpcCode.UNKNOWN);
      expect(error.details)
        .to.include(name)
        .and.to.match(/not found|manifest unknown/i);
      expect(error.details).to.not.match(/RegistryUnavailable|SignatureValidation/);
    }
  });

  it("refuses what no registry could serve", async () => {
    for (const image of ["", "a/UPPER", "a b", "a:b:c", `sha256:${"0".repeat(64)}`, "../x"]) {
      const error = await failure(pull(image));
      expect(error.code, image).to.equal(GrpcCode.INVALID_ARGUMENT);
    }
    expect(node.proxy.count(/^POST/)).to.equal(0);
  });

  it("says RegistryUnavailable where nobody listens", async () => {
    const error = await failure(pull(`127.0.0.1:${await freePort()}/gone:1`));
    expect(error.code).to.equal(GrpcCode.UNKNOWN);
    expect(error.details).to.match(/^RegistryUnavailable: .*connection refused/);
  });

  it("shares one request between ten callers", async () => {
    const reference = `${open.host}/dockline/one:test`;
    const answers = await Promise.all(Array.from({ length: 10 }, () => pull(reference)));
    expect(new Set(answers.map(({ imageRef }) => imageRef)).size).to.equal(1);
    expect(node.proxy.count(/^POST \/images\/create$/)).to.equal(1);
  });

  it("keeps to the caller's deadline", async () => {
    const error = await failure(
      node.images.pullImage(
        { image: { image: `${open.host}/dockline/one:test` } },
        { timeoutMs: 1 },
      ),
    );
    expect(error.code).to.equal(GrpcCode.DEADLINE_EXCEEDED);
    // Nothing of it goes on behind the caller's back.
    await until(() =>
      node.proxy.requests.every(({ route, status }) => {
        return route !== "/images/create" || status !== 0;
      }),
    );
  });

  describe("afterwards", () => {
    it("writes no secret into its log", async () => {
      const pasted = `someone:canary-pasted-1@${open.host}/dockline/one:test`;
      for (const image of [pasted, `https://${pasted}`]) {
        const error = await failure(pull(image));
        expect(error.code).to.equal(GrpcCode.INVALID_ARGUMENT);
        expect(error.details).to.not.include("canary");
        await failure(node.images.imageStatus({ image: { image } }));
      }
      const log = node.log();
      expect(log).to.include("PullImage");
      expect(log).to.not.include("canary");
      expect(log).to.not.include(basic(account.username, account.password));
      expect(log).to.not.include("X-Registry-Auth");
    });
  });
});

describe("PullImage over TLS", () => {
  let node: TestNode;
  let registry: TestRegistry;
  before(async () => {
    [node, registry] = await Promise.all([
      startNode({ withoutNetwork: true }),
      startRegistry({ tls: true, password: true }),
    ]);
    await registry.push("tls/one", ["1"], { files: [{ path: "b", content: "tls" }] });
  });
  after(async () => {
    await removeImagesOf(node, registry.host);
    await registry.close();
    await node.close();
  });

  it("trusts the CA of /etc/docker/certs.d, and none without it", async () => {
    const image = { image: `${registry.host}/tls/one:1` };
    await node.images.pullImage({ image, auth: account });
    const found = (await node.images.imageStatus({ image })).image;
    expect(found?.repoTags).to.deep.equal([image.image]);
    await node.images.removeImage({ image });
    registry.distrust();
    const error = await failure(node.images.pullImage({ image, auth: account }));
    expect(error.code).to.equal(GrpcCode.UNKNOWN);
    expect(error.details)
      .to.match(/certificate/)
      .and.to.not.include("canary");
  });
});
