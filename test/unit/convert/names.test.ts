import { expect } from "chai";
import fc from "fast-check";
import {
  containerName,
  parseName,
  sandboxName,
  withRandomSuffix,
} from "../../../src/convert/names.ts";
import { CriError } from "../../../src/errors.ts";

const field = fc.stringMatching(/^[a-zA-Z0-9.-]{1,60}$/);
const attempt = fc.integer({ min: 0, max: 0xffff_ffff });
const sandbox = { name: "web", namespace: "default", uid: "u-1", attempt: 3 };

describe("convert/names", () => {
  it("writes dockershim's names", () => {
    expect(sandboxName(sandbox)).to.equal("k8s_POD_web_default_u-1_3");
    expect(containerName({ name: "app", attempt: 2 }, sandbox)).to.equal(
      "k8s_app_web_default_u-1_2",
    );
  });

  it("reads what it wrote, with slash and random suffix too", () => {
    fc.assert(
      fc.property(field, field, field, field, attempt, (name, namespace, uid, app, n) => {
        const metadata = { name, namespace, uid, attempt: n };
        expect(parseName(sandboxName(metadata))).to.deep.equal({ kind: "podsandbox", metadata });
        fc.pre(app !== "POD");
        const container = containerName({ name: app, attempt: n }, metadata);
        for (const text of [container, `/${container}`, withRandomSuffix(container, "0123abcd")]) {
          expect(parseName(text)).to.deep.equal({
            kind: "container",
            metadata: { name: app, attempt: n },
            podSandboxMetadata: { name, namespace, uid, attempt: 0 },
          });
        }
      }),
    );
  });

  for (const name of [
    "",
    "web",
    "k8s_POD_web_default_uid",
    "k8s_a_b_c_d_0_e_f",
    "k9s_POD_web_default_uid_0",
    "k8s_POD_web_default_uid_x",
    "k8s_POD_web_default_uid_-1",
    "k8s_POD_web_default_uid_01",
    "k8s_POD_web_default_uid_4294967296",
    "k8s_POD_web_default_uid_1e3",
    "//k8s_POD_web_default_uid_0",
  ]) {
    it(`does not read ${JSON.stringify(name)}`, () => {
      expect(parseName(name)).to.equal(undefined);
    });
  }

  const refused: [string, () => string, RegExp][] = [
    ["no sandbox metadata", () => sandboxName(undefined), /^sandbox metadata: missing/],
    ["no name", () => sandboxName({ ...sandbox, name: "" }), /metadata\.name: must not be empty/],
    ["no namespace", () => sandboxName({ ...sandbox, namespace: "" }), /metadata\.namespace/],
    ["no uid", () => sandboxName({ ...sandbox, uid: "" }), /metadata\.uid/],
    ["an underscore", () => sandboxName({ ...sandbox, name: "a_b" }), /metadata\.name/],
    ["a slash", () => sandboxName({ ...sandbox, namespace: "../x" }), /metadata\.namespace/],
    ["a newline", () => sandboxName({ ...sandbox, uid: "a\n" }), /metadata\.uid/],
    ["a NUL", () => sandboxName({ ...sandbox, uid: "a\0" }), /metadata\.uid/],
    ["a long name", () => sandboxName({ ...sandbox, name: "a".repeat(254) }), /longer than 253/],
    ["attempt -1", () => sandboxName({ ...sandbox, attempt: -1 }), /metadata\.attempt/],
    ["attempt 2^32", () => sandboxName({ ...sandbox, attempt: 2 ** 32 }), /metadata\.attempt/],
    ["attempt 0.5", () => sandboxName({ ...sandbox, attempt: 0.5 }), /metadata\.attempt/],
    [
      "no container metadata",
      () => containerName(undefined, sandbox),
      /container metadata: missing/,
    ],
    ["no pod", () => containerName({ name: "a", attempt: 0 }, undefined), /sandbox metadata/],
    ["POD", () => containerName({ name: "POD", attempt: 0 }, sandbox), /pause container/],
  ];
  for (const [what, make, message] of refused) {
    it(`refuses ${what}`, () => {
      expect(make).to.throw(CriError, message).with.property("kind", "InvalidArgument");
    });
  }

  it("takes only eight hex digits as a suffix", () => {
    expect(() => withRandomSuffix("k8s_a_b_c_d_0", "XYZ")).to.throw(TypeError);
  });
});
