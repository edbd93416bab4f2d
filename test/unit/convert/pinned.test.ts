import { expect } from "chai";
import { isPinned, originOf } from "../../../src/convert/pinned.ts";

const graph = { containerdStore: false, apiMinor: 41 };
const oldStore = { containerdStore: true, apiMinor: 52 };
const newStore = { containerdStore: true, apiMinor: 53 };

const image = (repoTags: string[], repoDigests: string[] = [], inspect: object = {}) => ({
  repoTags,
  repoDigests,
  inspect,
});
const digest = `@sha256:${"0".repeat(64)}`;

describe("where an image came from", () => {
  it("is recognised by its digests with Docker's own store", () => {
    expect(originOf(image(["a:1"]), graph)).to.equal("local");
    expect(originOf(image(["a:1"], [`a${digest}`]), graph)).to.equal("registry");
    expect(originOf(image(["a:1", "b:1"], [`a${digest}`]), graph)).to.equal("registry");
  });

  it("is recognised by what the engine knows of its pull with containerd's store", () => {
    const loaded = image(["a:1"], [`a${digest}`]);
    const built = image(["a:1"], [`a${digest}`], { Identity: { Build: [{ Ref: "x" }] } });
    const pulled = image(["a:1"], [`a${digest}`], { Identity: { Pull: [{ Repository: "a" }] } });
    const both = image(["a:1"], [], { Identity: { Build: [{}], Pull: [{}] } });
    expect([loaded, built, pulled, both].map((one) => originOf(one, newStore))).to.deep.equal([
      "local",
      "local",
      "registry",
      "registry",
    ]);
    expect(originOf(loaded, oldStore)).to.equal("unknown");
  });

  it("does not matter for an image without a name", () => {
    for (const store of [graph, oldStore, newStore]) {
      expect(originOf(image([]), store)).to.equal("registry");
    }
  });
});

describe("a pinned image", () => {
  const policy = { pauseReference: "registry.k8s.io/pause:3.10.2", patterns: [] };

  it("is the pause image and what a pattern names, in either form of a name", () => {
    expect(isPinned(image(["registry.k8s.io/pause:3.10.2"]), policy)).to.equal(true);
    expect(isPinned(image(["registry.k8s.io/pause:3.10"]), policy)).to.equal(false);
    for (const pattern of ["busybox:1", "docker.io/library/busybox:1", "busybox*", "docker.io/*"]) {
      expect(isPinned(image(["busybox:1"]), { ...policy, patterns: [pattern] }), pattern).to.equal(
        true,
      );
    }
    expect(isPinned(image(["busybox:1"]), { ...policy, patterns: ["busybox"] })).to.equal(false);
  });

  it("is not what was loaded, built or labelled, unless local images are to be pinned", () => {
    const labelled = image(["a:1"], [], { Config: { Labels: { "io.dockline/pinned": "true" } } });
    expect(isPinned(labelled, policy)).to.equal(false);
    expect(isPinned(labelled, { ...policy, localImages: graph })).to.equal(true);
    expect(isPinned(labelled, { ...policy, localImages: oldStore })).to.equal(false);
  });
});
