import { expect } from "chai";
import fc from "fast-check";
import { errorBodyText, oneLine } from "../../../src/engine/error-text.ts";

describe("errorBodyText", () => {
  const read = (body: string, type = "application/json"): string =>
    errorBodyText(body, type, "HTTP 500 Oops");

  it("takes Docker's message", () => {
    expect(read('{"message":"No such container: x"}\n')).to.equal("No such container: x");
  });

  it("takes plain text, on one line", () => {
    expect(read("client version 1.2 is\r\n too old\n", "text/plain")).to.equal(
      "client version 1.2 is  too old",
    );
  });

  it("says only that it was HTML", () => {
    expect(read("<!doctype html><h1>Bad Gateway</h1>", "")).to.equal(
      "HTTP 500 Oops (an HTML page)",
    );
    expect(read("Bad Gateway", "text/html; charset=utf-8")).to.equal(
      "HTTP 500 Oops (an HTML page)",
    );
  });

  it("falls back on the status", () => {
    for (const body of [
      "",
      "  \n",
      "{",
      '{"message":7}',
      '{"message":""}',
      '{"error":"x"}',
      "{}",
    ]) {
      expect(read(body), body).to.equal("HTTP 500 Oops");
    }
  });
});

describe("oneLine", () => {
  it("masks credentials", () => {
    const text = oneLine(
      'Get "https://joe:hunter2@reg.example/v2/x?sig=hunter2&a=b": Authorization: Bearer hunter2.a-b password=hunter2, {"token":"hunter2"} Basic aHVudGVyMg== secret: hunter2',
    );
    expect(text).not.to.match(/hunter2|aHVudGVyMg/);
    expect(text).to.contain("https://***@reg.example/v2/x?***");
  });

  it("masks credentials also beside a slash", () => {
    for (const text of [
      '{"/secret": "hunter2"}',
      "wrong username/password: hunter2",
      "wrong username/password:hunter2",
      "login with token:hunter2",
      "https://reg.example/team/token:hunter2",
      "team/token=hunter2",
      "team/Password:hunter2",
      "https://reg.example/v2/token: hunter2",
      "/run/token=hunter2",
      "/run/token:hunter2",
      "in /run the password: hunter2",
      "/run/token and token: hunter2",
    ])
      expect(oneLine(text)).not.to.contain("hunter2");
  });

  it("leaves ordinary engine messages alone", () => {
    for (const text of [
      'Conflict. The container name "/k8s_a" is already in use by container "0f".',
      'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused',
      "manifest for reg.example/a/b@sha256:0123 not found: manifest unknown",
      "unauthorized: authentication required",
      'error mounting "/x" to rootfs at "/etc/passwd": mount /x:/etc/passwd, flags: 0x5000: not a directory',
      "open /run/secrets/token: no such file or directory",
      "lstat '/a.b/my-secret': permission denied",
      "stat (/auth: not a directory",
      "mount src=/etc/passwd: device or resource busy",
      "No such image: team/token:v1",
      'failed to resolve reference "reg.example:5000/a/my-secret:1.2-rc1": not found',
      "manifest for docker.io/library/auth:latest not found: manifest unknown",
      "manifest for team/password:v1: unknown",
      `No such image: team/token:v1@sha256:${"0".repeat(64)}`,
      "No such image: token:v1",
      'conflict: unable to remove repository reference "my-secret:v1" (must force)',
    ]) {
      expect(oneLine(text)).to.equal(text);
    }
  });

  it("is short and on one line for any input, quickly", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 3000 }), (text) => {
        const line = oneLine(text);
        expect(line.length).to.be.at.most(1024);
        expect(line).not.to.match(/[\u0000-\u001f\u2028]/);
      }),
    );
    for (const unit of [
      "http://",
      "://",
      "bearer ",
      "token=",
      "a",
      " ",
      "@",
      "?",
      "/token",
      '/token": ',
    ]) {
      const startedAt = performance.now();
      oneLine(unit.repeat((1 << 20) / unit.length));
      expect(performance.now() - startedAt, unit).to.be.lessThan(500);
    }
  });
});
