import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import type { Readable } from "node:stream";
import { expect } from "chai";
import { createImageVolumes } from "../../../src/images/image-volumes.ts";
import type { ImageVolumes } from "../../../src/images/image-volumes.ts";
import { resolveSubPath } from "../../../src/images/sub-path.ts";
import { silentLogger } from "../../../src/log.ts";
import { savedImage, streamOf, tarOf } from "../../support/saved-image.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { until } from "../../support/until.ts";

const id = (letter: string): string => `sha256:${letter.repeat(64)}`;
const never = new AbortController().signal;

describe("copies of images for volumes", () => {
  let folder: ReturnType<typeof tempFolder>;
  let volumes: ImageVolumes;
  let saved: string[];
  let used: string[];
  let answer: () => Promise<Readable>;
  const copies = (): string[] => readdirSync(folder.path("image-volumes"));
  const open = () =>
    createImageVolumes({
      engine: {
        saveImage: (reference) => {
          saved.push(reference);
          return answer();
        },
      },
      stateDir: folder.path("."),
      usedBy: () => Promise.resolve(new Set(used)),
      log: silentLogger,
      keepAbandonedMs: 300,
    });

  beforeEach(async () => {
    folder = tempFolder();
    saved = [];
    used = [];
    const archive = await savedImage([await tarOf([{ name: "data/model", content: "weights" }])]);
    answer = () => Promise.resolve(streamOf(archive));
    volumes = await open();
  });
  afterEach(() => {
    folder.remove();
  });

  it("makes one for many, and keeps it while it is held or used", async () => {
    const held = await Promise.all(
      Array.from({ length: 5 }, () => volumes.hold({ id: id("a"), size: 10 }, never)),
    );
    expect(saved).to.deep.equal([id("a")]);
    const path = (await held[0]?.path("data")) ?? "";
    expect(readFileSync(`${path}/model`, "utf8")).to.equal("weights");
    for (const copy of held.slice(1)) copy.release();
    held[1]?.release();
    await volumes.sweep();
    expect(copies()).to.deep.equal(["a".repeat(64)]);
    used = [id("a")];
    held[0]?.release();
    await volumes.sweep();
    expect(copies()).to.have.length(1);
    const last = await volumes.hold({ id: id("a"), size: 10 }, never);
    expect(saved).to.have.length(1);
    used = [id("b")];
    last.release();
    // Nobody has to ask for it.
    await until(() => copies().length === 0);
  });

  it("goes on when its caller leaves, and joins the next one", async () => {
    let send: (archive: Readable) => void = () => undefined;
    const archive = await answer();
    answer = () => new Promise((resolve) => (send = resolve));
    const leaving = new AbortController();
    const first = volumes.hold({ id: id("a"), size: 10 }, leaving.signal);
    leaving.abort(new Error("deadline"));
    let thrown: unknown;
    await first.catch((error: unknown) => {
      thrown = error;
    });
    expect((thrown as Error).message).to.equal("deadline");
    const second = volumes.hold({ id: id("a"), size: 10 }, never);
    while (saved.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    // In the making: it is not swept away.
    await volumes.sweep();
    send(archive);
    const copy = await second;
    expect(saved).to.have.length(1);
    expect(existsSync(await copy.path("data/model"))).to.equal(true);
  });

  it("keeps a copy that came too late for its caller, for a while", async () => {
    let send: (archive: Readable) => void = () => undefined;
    const archive = await answer();
    answer = () => new Promise((resolve) => (send = resolve));
    const leaving = new AbortController();
    const call = volumes.hold({ id: id("a"), size: 10 }, leaving.signal).catch(() => undefined);
    await until(() => saved.length === 1);
    leaving.abort(new Error("deadline"));
    await call;
    send(archive);
    // Under its last name, and without the one that it was made under.
    await until(() => copies().length === 1 && copies()[0] === "a".repeat(64));
    await volumes.sweep();
    expect(copies()).to.deep.equal(["a".repeat(64)]);
    await until(() => copies().length === 0);
    expect(saved).to.have.length(1);
  });

  it("leaves nothing of an image that it refuses, and says why", async () => {
    const device = await tarOf([{ name: "dev/sda", type: "block-device", devmajor: 8 }]);
    const archive = await savedImage([device]);
    answer = () => Promise.resolve(streamOf(archive));
    for (const attempt of [1, 2]) {
      let thrown: unknown;
      await volumes.hold({ id: id("b"), size: 10 }, never).catch((error: unknown) => {
        thrown = error;
      });
      expect(thrown).to.have.property("kind", "FailedPrecondition");
      expect((thrown as Error).message).to.match(/"dev\/sda" is a block-device/);
      expect(saved).to.have.length(attempt);
    }
    expect(copies()).to.deep.equal([]);
    let full: unknown;
    await volumes.hold({ id: id("c"), size: 2 ** 60 }, never).catch((error: unknown) => {
      full = error;
    });
    expect(full).to.have.property("kind", "ResourceExhausted");
    expect(saved).to.have.length(2);
  });

  it("sweeps what a kill left in the making", async () => {
    mkdirSync(folder.path(`image-volumes/.${"d".repeat(64)}.0123456789ab.tmp/tree`), {
      recursive: true,
    });
    volumes = await open();
    used = [id("d")];
    await volumes.sweep();
    expect(copies()).to.deep.equal([]);
  });

  describe("a sub path", () => {
    let root: string;
    const resolve = (subPath: string) => resolveSubPath(root, subPath);
    const refused = async (subPath: string, message: RegExp): Promise<void> => {
      let thrown: unknown;
      await resolve(subPath).catch((error: unknown) => {
        thrown = error;
      });
      expect((thrown as Error | undefined)?.message, subPath).to.match(message);
      expect(thrown).to.have.property("kind", "InvalidArgument");
    };
    beforeEach(() => {
      root = folder.path("root");
      mkdirSync(`${root}/a/b`, { recursive: true });
      writeFileSync(folder.path("secret"), "");
      writeFileSync(`${root}/a/b/file`, "");
      const links: Record<string, string> = {
        in: "a/b",
        "a/up": "../a/b/file",
        chain: "in",
        out: "../secret",
        "a/out": "b/../../../secret",
        absolute: "/etc",
        back: "/a",
        loop: "loop",
        dangling: "nothing",
      };
      for (const [name, target] of Object.entries(links)) symlinkSync(target, `${root}/${name}`);
    });

    it("is found, through links that stay inside too", async () => {
      expect(await resolve("")).to.equal(root);
      expect(await resolve("./a//b/")).to.equal(`${root}/a/b`);
      expect(await resolve("a/../a/b")).to.equal(`${root}/a/b`);
      expect(await resolve("in/file")).to.equal(`${root}/a/b/file`);
      expect(await resolve("chain")).to.equal(`${root}/a/b`);
      expect(await resolve("a/up")).to.equal(`${root}/a/b/file`);
    });

    it("is refused when it leads out or is not there", async () => {
      for (const path of ["..", "a/../..", "out", "a/out", "absolute", "back", "absolute/passwd"]) {
        await refused(path, /leads out of the image/);
      }
      for (const path of ["none", "a/none/b", "a/b/file/x", "dangling", "n".repeat(300)]) {
        await refused(path, /does not exist in the image/);
      }
      await refused("loop", /too many links/);
    });
  });
});
