import { expect } from "chai";
import fc from "fast-check";
import { CniError } from "../../../src/network/cni-error.ts";
import type { JsonObject } from "../../../src/network/conflist.ts";
import { podIps } from "../../../src/network/result.ts";

describe("CNI results", () => {
  it("gives every address of the pod in the order of the result, each once", () => {
    const ips = ["fd00::2/64", "10.0.0.2/24", "10.0.0.3", "fd00::2/64"].map((address) => ({
      address,
    }));
    expect(podIps({ ips }, "eth0")).to.deep.equal(["fd00::2", "10.0.0.2", "10.0.0.3"]);
  });

  it("prefers the pod's interface to others in the pod, and those to the host's", () => {
    const interfaces = [
      { name: "cni0" },
      { name: "eth0", sandbox: "/n" },
      { name: "net1", sandbox: "/n" },
    ];
    const on = (...indexes: number[]): JsonObject => ({
      interfaces,
      ips: indexes.map((at) => ({ address: `10.0.0.${at}/8`, interface: at })),
    });
    expect(podIps(on(0, 1, 2), "eth0")).to.deep.equal(["10.0.0.1"]);
    expect(podIps(on(0, 2), "eth0")).to.deep.equal(["10.0.0.2"]);
    expect(podIps(on(0), "eth0")).to.deep.equal(["10.0.0.0"]);
    expect(podIps(on(9), "eth0")).to.deep.equal(["10.0.0.9"]);
  });

  it("reads results from before 0.3.0", () => {
    const result = { cniVersion: "0.2.0", ip4: { ip: "10.0.0.2/24" }, ip6: { ip: "fd00::2/64" } };
    expect(podIps(result, "eth0")).to.deep.equal(["10.0.0.2", "fd00::2"]);
  });

  it("has none where there are none", () => {
    for (const result of [{}, { ips: [] }, { ips: null }, { ips: "10.0.0.1/8" }] as JsonObject[]) {
      expect(podIps(result, "eth0")).to.deep.equal([]);
    }
  });

  it("refuses addresses that are none", () => {
    for (const address of [
      "",
      "x",
      "10.0.0.1/33",
      "10.0.0.1/",
      "10.0.0.1/8/8",
      "fe80::1%eth0/64",
      7,
      null,
    ]) {
      expect(() => podIps({ ips: [{ address }] }, "eth0"), String(address)).to.throw(CniError);
    }
  });

  it("throws nothing but CniError for any object", () => {
    fc.assert(
      fc.property(
        fc.record(
          {
            ips: fc.anything(),
            interfaces: fc.anything(),
            ip4: fc.anything(),
          },
          { requiredKeys: [] },
        ),
        (result) => {
          try {
            podIps(result, "eth0");
          } catch (error) {
            expect(error).to.be.instanceOf(CniError);
          }
        },
      ),
    );
  });
});
