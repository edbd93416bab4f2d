import { expect } from "chai";
import fc from "fast-check";
import { toRegistryAuth } from "../../../src/convert/auth.ts";
import { refuses } from "./support.ts";

const base64 = (text: string | Uint8Array) => Buffer.from(text).toString("base64");

describe("convert/auth", () => {
  for (const [what, credentials, expected] of [
    ["nothing", undefined, undefined],
    ["an empty message", {}, undefined],
    ["only a server", { serverAddress: "r.example" }, undefined],
    ["name and password", { username: "u", password: "p" }, { username: "u", password: "p" }],
    ["a name alone", { username: "u" }, { username: "u", password: "" }],
    ["an identity token", { identityToken: "t" }, { identitytoken: "t" }],
    ["a registry token", { registryToken: "t" }, { registrytoken: "t" }],
    ["an encoded pair", { auth: base64("u:p:q") }, { username: "u", password: "p:q" }],
    ["a padded pair", { auth: base64("u:p\0\0") }, { username: "u", password: "p" }],
    ["an empty password", { auth: base64("u:") }, { username: "u", password: "" }],
    [
      "name and password first",
      { username: "u", password: "p", auth: base64("x:y"), identityToken: "t" },
      { username: "u", password: "p" },
    ],
    [
      "the server's address",
      { username: "u", password: "p", serverAddress: "https://r.example/v1/" },
      { username: "u", password: "p", serveraddress: "https://r.example/v1/" },
    ],
  ] as const) {
    it(`takes ${what}`, () => {
      expect(toRegistryAuth(credentials)).to.deep.equal(expected);
    });
  }

  for (const [server, host, given] of [
    ["https://r.example/v1/", "r.example", true],
    ["R.example", "r.example", true],
    ["r.example:5000", "r.example:5000", true],
    ["https://index.docker.io/v1/", "docker.io", true],
    ["r.example", "r.example:5000", false],
    ["other.example", "r.example", false],
    ["r.example.evil.example", "r.example", false],
    ["docker.io", "r.example", false],
    ["", "r.example", true],
  ] as const) {
    it(`${given ? "gives" : "keeps"} credentials of ${server || "no server"} to ${host}`, () => {
      const auth = toRegistryAuth({ username: "u", password: "p", serverAddress: server }, host);
      expect(auth !== undefined).to.equal(given);
    });
  }

  for (const [what, auth] of [
    ["no base64", "u:secret"],
    ["no colon", base64("secret")],
    ["no name", base64(":secret")],
    ["no text", base64(Uint8Array.of(0xff, 0x3a, 0xff))],
  ] as const) {
    it(`refuses ${what} without telling it`, () => {
      refuses(() => toRegistryAuth({ auth }), /^auth\.auth: not base64 of user:password$/);
    });
  }

  it("decodes whatever was encoded", () => {
    const name = fc
      .string({ minLength: 1, unit: "grapheme" })
      .filter((text) => !text.includes(":"));
    const password = fc.string({ unit: "grapheme" }).filter((text) => !text.endsWith("\0"));
    fc.assert(
      fc.property(name, password, (username, secret) => {
        fc.pre(!username.startsWith("\ufeff"));
        expect(toRegistryAuth({ auth: base64(`${username}:${secret}`) })).to.deep.equal({
          username,
          password: secret,
        });
      }),
    );
  });
});
