import { expect } from "chai";
import { credentialsIn, registriesIn } from "../../../src/convert/docker-config.ts";
import { refuses } from "./support.ts";

const pair = (text: string): { auth: string } => ({ auth: Buffer.from(text).toString("base64") });

describe("a file of registry credentials", () => {
  const file = JSON.stringify({
    auths: {
      "https://index.docker.io/v1/": pair("hub:canary-1"),
      "http://10.0.0.1:5000/v2/": { username: "ten", password: "canary-2" },
      "quay.io": pair("all:canary-3"),
      "quay.io/org": pair("org:canary-4"),
      "quay.io/org/app": { identitytoken: "canary-5" },
      "empty.example": {},
      "*.azurecr.io": pair("any:canary-6"),
      "*.azurecr.io/team": pair("team:canary-7"),
      "one.azurecr.io": pair("one:canary-8"),
      "https://r?.ports.example:5000/v2/": pair("port:canary-9"),
    },
    credHelpers: { "helped.example": "pass" },
  });

  for (const [repository, expected] of [
    ["docker.io/library/busybox", { username: "hub", password: "canary-1" }],
    ["10.0.0.1:5000/x", { username: "ten", password: "canary-2" }],
    ["quay.io/other/app", { username: "all", password: "canary-3" }],
    ["quay.io/org/other", { username: "org", password: "canary-4" }],
    ["quay.io/organisation/app", { username: "all", password: "canary-3" }],
    ["quay.io/org/app", { identitytoken: "canary-5" }],
    ["quay.io.evil.example/x", undefined],
    ["empty.example/x", undefined],
    ["two.azurecr.io/x", { username: "any", password: "canary-6" }],
    ["two.azurecr.io/team/x", { username: "team", password: "canary-7" }],
    ["two.azurecr.io/teams/x", { username: "any", password: "canary-6" }],
    ["one.azurecr.io/team/x", { username: "one", password: "canary-8" }],
    ["a.b.azurecr.io/x", undefined],
    ["azurecr.io/x", undefined],
    ["r1.ports.example:5000/x", { username: "port", password: "canary-9" }],
    ["r1.ports.example/x", undefined],
    ["r12.ports.example:5000/x", undefined],
  ] as const) {
    it(`has ${expected === undefined ? "nothing" : "its own"} for ${repository}`, () => {
      expect(credentialsIn(file, repository)).to.deep.equal(expected);
    });
  }

  it("names its registries", () => {
    expect(registriesIn(file)).to.include.members(["docker.io", "10.0.0.1:5000", "quay.io/org"]);
  });

  it("refuses other forms and quotes none of it", () => {
    const bad = (text: string, message: RegExp): void => {
      refuses(() => credentialsIn(text, "quay.io/x"), message);
      expect(() => credentialsIn(text, "quay.io/x"))
        .to.throw()
        .and.satisfy((error: Error) => {
          return !error.message.includes("canary");
        });
    };
    bad('{"auths":{"quay.io":canary}}', /not JSON/);
    bad('["canary"]', /not an object/);
    bad('{"auths":["canary"]}', /"auths" is not an object/);
    bad('{"auths":{"quay.io":"canary"}}', /entry of auths is not an object/);
    bad(JSON.stringify({ auths: { "quay.io": { auth: "canary%" } } }), /base64/);
    bad('{"credsStore":"desktop"}', /program/);
    refuses(() => credentialsIn(file, "helped.example/x"), /program/);
  });
});
