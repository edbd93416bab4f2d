import { chmodSync, symlinkSync, writeFileSync } from "node:fs";
import { expect } from "chai";
import { credentialsIn } from "../../../src/convert/docker-config.ts";
import { CriError } from "../../../src/errors.ts";
import { createCredentialFile } from "../../../src/images/credential-file.ts";
import { createImagePuller } from "../../../src/images/mirrored-pull.ts";
import type { PullRequest } from "../../../src/images/pull.ts";
import { silentLogger } from "../../../src/log.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const digest = `sha256:${"a".repeat(64)}`;
const kubelets = { username: "kubelet", password: "canary-1" };

describe("pulling through mirrors", () => {
  let pulls: Pick<PullRequest, "repository" | "auth" | "progressDeadlineMs">[];
  let tags: string[][];
  let failing: Record<string, Error>;
  let problem: string | undefined;
  const puller = createImagePuller({
    puller: {
      pull: ({ repository, auth, progressDeadlineMs }) => {
        pulls.push({ repository, auth, ...(progressDeadlineMs ? { progressDeadlineMs } : {}) });
        const failure = failing[repository];
        return failure === undefined ? Promise.resolve() : Promise.reject(failure);
      },
      running: () => [],
    },
    engine: {
      tagImage: (...args) => {
        tags.push(args);
        return Promise.resolve();
      },
    },
    mirrorsOf: (repository) =>
      repository === "same/x"
        ? ["same/cache/x"]
        : repository === "origin/x"
          ? ["m1/x", "m2/x"]
          : [],
    credentials: (repository) =>
      Promise.resolve({ auth: { username: `node@${repository}` }, problem }),
    log: silentLogger,
  });
  const pull = (tagOrDigest = "1", auth?: typeof kubelets, repository = "origin/x") =>
    puller.pull({
      image: repository,
      repository,
      tagOrDigest,
      auth,
      signal: new AbortController().signal,
    });
  const refusal = async (work: Promise<unknown>): Promise<Error> => {
    try {
      await work;
    } catch (error) {
      return error as Error;
    }
    throw new Error("it was pulled");
  };

  beforeEach(() => {
    pulls = [];
    tags = [];
    failing = {};
    problem = undefined;
  });

  it("takes the first that has it, and gives it the asked tag", async () => {
    failing = { "m1/x": new CriError("Unknown", "not found") };
    expect(await pull()).to.equal("origin/x:1");
    expect(pulls.map(({ repository }) => repository)).to.deep.equal(["m1/x", "m2/x"]);
    expect(tags).to.deep.equal([["m2/x:1", "origin/x", "1"]]);
  });

  it("leaves what is asked by digest under the mirror's name", async () => {
    expect(await pull(digest)).to.equal(`m1/x@${digest}`);
    expect(tags).to.deep.equal([]);
  });

  it("shows the kubelet's credentials to the registry alone, the node's to their own", async () => {
    const down = new CriError("Unknown", "down");
    failing = { "m1/x": down, "m2/x": down };
    expect(await pull("1", kubelets)).to.equal("origin/x:1");
    expect(pulls).to.deep.equal([
      { repository: "m1/x", auth: { username: "node@m1/x" }, progressDeadlineMs: 15_000 },
      { repository: "m2/x", auth: { username: "node@m2/x" }, progressDeadlineMs: 15_000 },
      { repository: "origin/x", auth: kubelets },
    ]);
    pulls = [];
    await pull();
    expect(pulls[2]?.auth).to.deep.equal({ username: "node@origin/x" });
  });

  it("shows the kubelet's credentials to a mirror on the image's own registry", async () => {
    expect(await pull("1", kubelets, "same/x")).to.equal("same/x:1");
    await pull("1", undefined, "same/x");
    expect(pulls.map(({ repository, auth }) => [repository, auth])).to.deep.equal([
      ["same/cache/x", kubelets],
      ["same/cache/x", { username: "node@same/cache/x" }],
    ]);
  });

  it("keeps the registry's own words and names what failed before", async () => {
    const down = new CriError("Unknown", "RegistryUnavailable: down");
    failing = { "m1/x": down, "m2/x": down, "origin/x": down };
    problem = "/f: chmod 600";
    const error = await refusal(pull());
    expect(error.message).to.equal(
      "RegistryUnavailable: down (mirrors failed before: m1/x, m2/x; without credentials: /f: chmod 600)",
    );
    expect(error).to.have.property("kind", "Unknown");
  });

  it("asks no other registry when the engine is away", async () => {
    failing = { "m1/x": new Error("the engine is away") };
    expect((await refusal(pull())).message).to.equal("the engine is away");
    expect(pulls).to.have.length(1);
  });

  describe("the node's credentials", () => {
    let folder: ReturnType<typeof tempFolder>;
    let path: string;
    const write = (password: string): void => {
      writeFileSync(path, JSON.stringify({ auths: { "r.example": { username: "u", password } } }), {
        mode: 0o600,
      });
    };
    const ask = (file = path) =>
      createCredentialFile({ path: file, parse: credentialsIn, log: silentLogger })("r.example/x");
    beforeEach(() => {
      folder = tempFolder();
      path = folder.path("config.json");
      write("canary-2");
    });
    afterEach(() => {
      folder.remove();
    });

    it("are read again each time", async () => {
      const file = createCredentialFile({ path, parse: credentialsIn, log: silentLogger });
      expect((await file("r.example/x")).auth?.password).to.equal("canary-2");
      write("canary-3");
      expect((await file("r.example/x")).auth?.password).to.equal("canary-3");
      expect(await ask("")).to.deep.equal({ auth: undefined, problem: undefined });
    });

    it("are not used when others may read them, or are not there", async () => {
      const link = folder.path("link");
      symlinkSync(path, link);
      expect((await ask(link)).auth?.username).to.equal("u");
      for (const mode of [0o640, 0o604, 0o660, 0o666]) {
        chmodSync(path, mode);
        const { auth, problem: why } = await ask();
        expect(auth).to.equal(undefined);
        expect(why)
          .to.match(/chmod 600/)
          .and.to.not.include("canary");
      }
      expect((await ask(folder.path("none"))).problem).to.match(/no such file/);
      expect((await ask(folder.path("."))).problem).to.match(/not a regular file/);
    });
  });
});
