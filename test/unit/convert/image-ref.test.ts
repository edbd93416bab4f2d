import { expect } from "chai";
import fc from "fast-check";
import {
  familiarReference,
  fullReference,
  lookupReference,
  normalizeListed,
  parseImageId,
  parseImageReference,
  pullTarget,
  repositoryOf,
} from "../../../src/convert/image-ref.ts";
import { CriError } from "../../../src/errors.ts";

const hex = "0123456789abcdef".repeat(4);
const digest = `sha256:${hex}`;

describe("convert/image-ref", () => {
  for (const [image, full, familiar, host] of [
    ["busybox", "docker.io/library/busybox:latest", "busybox", "docker.io"],
    ["busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36", "docker.io"],
    ["library/busybox", "docker.io/library/busybox:latest", "busybox", "docker.io"],
    ["docker.io/busybox", "docker.io/library/busybox:latest", "busybox", "docker.io"],
    ["index.docker.io/a/b", "docker.io/a/b:latest", "a/b", "docker.io"],
    ["library/a/b", "docker.io/library/a/b:latest", "library/a/b", "docker.io"],
    [
      "registry.k8s.io/pause:3.10.2",
      "registry.k8s.io/pause:3.10.2",
      "registry.k8s.io/pause:3.10.2",
      "registry.k8s.io",
    ],
    ["localhost/a", "localhost/a:latest", "localhost/a", "localhost"],
    ["localhost:5000/a:b", "localhost:5000/a:b", "localhost:5000/a:b", "localhost:5000"],
    ["[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a", "[::1]:5000"],
    [
      "registry-1.docker.io/a",
      "registry-1.docker.io/a:latest",
      "registry-1.docker.io/a",
      "registry-1.docker.io",
    ],
    [
      `a@sha384:${hex}${hex.slice(32)}`,
      `docker.io/library/a@sha384:${hex}${hex.slice(32)}`,
      `a@sha384:${hex}${hex.slice(32)}`,
      "docker.io",
    ],
    ["HOST/a", "HOST/a:latest", "HOST/a", "HOST"],
    [`busybox@${digest}`, `docker.io/library/busybox@${digest}`, `busybox@${digest}`, "docker.io"],
    [`r.example/a:t@${digest}`, `r.example/a:t@${digest}`, `r.example/a:t@${digest}`, "r.example"],
  ] as const) {
    it(`knows ${image.slice(0, 30)}`, () => {
      expect(fullReference(image)).to.equal(full);
      expect(familiarReference(image)).to.equal(familiar);
      const reference = parseImageReference(image)!;
      expect(pullTarget(image)).to.deep.equal({
        repository: repositoryOf(reference),
        tagOrDigest: reference.digest ?? reference.tag ?? "latest",
        registryHost: host,
      });
      // What is full stays full.
      expect(fullReference(full)).to.equal(full);
      expect(normalizeListed(full)).to.equal(full);
    });
  }

  for (const image of [
    "",
    "Busybox",
    "a b",
    "a//b",
    "/a",
    "a/",
    "a:",
    "a:b c",
    "a:-x",
    "a@",
    "a@sha256:00",
    `a@${digest}x`,
    `a@md5:${hex.slice(32)}`,
    "a__b___c/d",
    "-a",
    "a-",
    "a..b",
    "a..b/c",
    ".a/b",
    "a.-b/c",
    "a-.b/c",
    `a@sha384:${hex}`,
    "../etc/passwd",
    "a\0b",
    "a\nb",
    "http://host/a",
    "host:99999999/a",
    "docker.io/",
    `docker.io/${hex}`,
    "a".repeat(256),
    `a:${"b".repeat(129)}`,
    "a/".repeat(600) + "a",
  ]) {
    it(`refuses ${JSON.stringify(image.slice(0, 30))}`, () => {
      expect(parseImageReference(image)).to.equal(undefined);
      expect(() => pullTarget(image))
        .to.throw(CriError)
        .with.property("kind", "InvalidArgument");
      expect(() => lookupReference(image))
        .to.throw(CriError)
        .with.property("kind", "InvalidArgument");
      expect(normalizeListed(image)).to.equal(image);
    });
  }

  it("tells ids from names", () => {
    expect(parseImageId(hex)).to.equal(digest);
    expect(parseImageId(digest)).to.equal(digest);
    expect(parseImageId(hex.toUpperCase())).to.equal(undefined);
    expect(parseImageId("abc")).to.equal(undefined);
    expect(parseImageReference(hex)).to.equal(undefined);
    expect(lookupReference(hex)).to.equal(digest);
    expect(lookupReference("busybox")).to.equal("docker.io/library/busybox:latest");
    expect(lookupReference(`busybox:1@${digest}`)).to.equal(`docker.io/library/busybox@${digest}`);
    expect(() => pullTarget(digest)).to.throw(CriError, /image id/);
  });

  it("loses nothing between the forms", () => {
    const part = fc.stringMatching(/^[a-z0-9]{1,8}([._-][a-z0-9]{1,8})?$/);
    const host = fc.constantFrom("", "docker.io/", "r.example/", "localhost:5000/");
    const suffix = fc.constantFrom("", ":latest", ":V1.0_x", `@${digest}`);
    const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
    fc.assert(
      fc.property(host, path, suffix, (h, p, s) => {
        fc.pre(!(h === "" && p.includes("/") && p.slice(0, p.indexOf("/")).includes(".")));
        const image = h + p + s;
        const full = fullReference(image);
        expect(fullReference(familiarReference(image))).to.equal(full);
        expect(fullReference(normalizeListed(image))).to.equal(full);
        expect(parseImageReference(full)).to.deep.equal({
          ...parseImageReference(image),
          ...(s === "" ? { tag: "latest" } : {}),
        });
      }),
    );
  });

  it("answers quickly to what is built to be slow", () => {
    const started = performance.now();
    parseImageReference("a" + "-".repeat(1000) + "!");
    parseImageReference("a.".repeat(500) + "/");
    parseImageReference("a".repeat(1_000_000) + "!");
    expect(performance.now() - started).to.be.below(200);
  });
});
