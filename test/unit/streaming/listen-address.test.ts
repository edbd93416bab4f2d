import { expect } from "chai";
import { CriError } from "../../../src/errors.ts";
import { parseListenAddress, urlHost } from "../../../src/streaming/listen-address.ts";

describe("the streaming address", () => {
  it("tells what only this machine can reach", () => {
    const loopback = (text: string): boolean => parseListenAddress(text).loopback;
    for (const text of [
      "127.0.0.1:0",
      "127.8.8.8:10",
      "localhost:1",
      "[::1]:0",
      "[0:0:0:0:0:0:0:1]:0",
    ]) {
      expect(loopback(text), text).to.equal(true);
    }
    for (const text of [":0", "0.0.0.0:0", "[::]:0", "10.0.0.1:10010", "[fe80::1]:0", "[::2]:0"]) {
      expect(loopback(text), text).to.equal(false);
    }
  });

  it("is refused when it is not one", () => {
    for (const text of [
      "",
      "127.0.0.1",
      "1.2.3.4:",
      "x:1",
      "::1:0",
      "1.2.3.4:65536",
      "[]:1:2",
      "127.evil:1",
    ]) {
      expect(() => parseListenAddress(text), text)
        .to.throw(CriError)
        .with.property("kind", "InvalidArgument");
    }
  });

  it("is what the kubelet can connect to", () => {
    expect(urlHost({ address: "127.0.0.1", family: "IPv4", port: 7 })).to.equal("127.0.0.1:7");
    expect(urlHost({ address: "::1", family: "IPv6", port: 7 })).to.equal("[::1]:7");
    expect(urlHost({ address: "::", family: "IPv6", port: 7 })).to.equal("127.0.0.1:7");
  });
});
