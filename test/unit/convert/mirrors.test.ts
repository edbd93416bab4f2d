import { expect } from "chai";
import {
  askedDigests,
  mirroredDigests,
  mirroredRepositories,
  parseMirrors,
} from "../../../src/convert/mirrors.ts";
import { refuses } from "./support.ts";

const digest = `sha256:${"a".repeat(64)}`;

describe("registry mirrors", () => {
  const mirrors = parseMirrors([
    "quay.io=mirror.example:5000/quay",
    "ghcr.io=mirror.example",
    "quay.io=10.0.0.1:5000",
    "10.0.0.9:5000=mirror.example/nine",
  ]);

  it("are tried in the order given", () => {
    expect(mirroredRepositories(mirrors, "quay.io/org/app")).to.deep.equal([
      "mirror.example:5000/quay/org/app",
      "10.0.0.1:5000/org/app",
    ]);
    expect(mirroredRepositories(mirrors, "10.0.0.9:5000/app")).to.deep.equal([
      "mirror.example/nine/app",
    ]);
    expect(mirroredRepositories(mirrors, "docker.io/library/app")).to.deep.equal([]);
  });

  it("lend their names to digests, both ways", () => {
    expect(mirroredDigests(mirrors, `quay.io/org/app@${digest}`)).to.deep.equal([
      `mirror.example:5000/quay/org/app@${digest}`,
      `10.0.0.1:5000/org/app@${digest}`,
    ]);
    expect(mirroredDigests(mirrors, `quay.io/app:1@${digest}`)[1]).to.equal(
      `10.0.0.1:5000/app@${digest}`,
    );
    for (const image of ["quay.io/app:1", "quay.io/app", digest, "x", "A B"]) {
      expect(mirroredDigests(mirrors, image), image).to.deep.equal([]);
    }
    expect(askedDigests(mirrors, `mirror.example:5000/quay/app@${digest}`)).to.deep.equal([
      `quay.io/app@${digest}`,
    ]);
    expect(askedDigests(mirrors, `mirror.example:5000/quayside/app@${digest}`)).to.deep.equal([]);
    expect(askedDigests(mirrors, "10.0.0.1:5000/app:1")).to.deep.equal([]);
  });

  for (const [pair, message] of [
    ["quay.io", /want registry=mirror/],
    ["docker.io=mirror.example", /daemon\.json/],
    ["registry-1.docker.io=mirror.example", /daemon\.json/],
    ["quay.io/org=mirror.example", /no host name/],
    ["=mirror.example", /no host name/],
    ["quay.io=", /no host with/],
    ["quay.io=https://mirror.example", /no host with/],
    ["quay.io=mirror.example/UPPER", /no host with/],
    ["quay.io=mirror.example/x/", /no host with/],
    ["quay.io=user:secret@mirror.example", /no host with/],
    ["quay.io=org", /no host with/],
  ] as const) {
    it(`refuses ${pair}`, () => {
      refuses(() => parseMirrors([pair]), message);
    });
  }
});
