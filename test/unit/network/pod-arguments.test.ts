import { expect } from "chai";
import fc from "fast-check";
import { CriError } from "../../../src/errors.ts";
import { capabilityArgs, parsePodCidr } from "../../../src/network/attachment.ts";
import type { PortMapping } from "../../../src/network/attachment.ts";
import {
  bandwidthCapability,
  parseBandwidth,
  podBandwidth,
} from "../../../src/network/bandwidth.ts";
import { formatCniArgs, podCniArgs } from "../../../src/network/cni-args.ts";

describe("what plugins learn about a pod", () => {
  describe("CNI_ARGS", () => {
    const pod = { podNamespace: "ns", podName: "p", containerId: "c" };

    it("has the pod's identity in the usual order, the uid only where there is one", () => {
      expect(formatCniArgs(podCniArgs({ ...pod, podUid: "u" }))).to.equal(
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=p;K8S_POD_INFRA_CONTAINER_ID=c;K8S_POD_UID=u",
      );
      expect(formatCniArgs(podCniArgs(pod))).not.to.include("UID");
    });

    it("comes back as it went in, or is refused", () => {
      fc.assert(
        fc.property(fc.string({ unit: "binary" }), fc.string(), (podName, podNamespace) => {
          let text: string;
          try {
            text = formatCniArgs(podCniArgs({ ...pod, podName, podNamespace }));
          } catch (error) {
            expect(error).to.be.instanceOf(CriError).and.include({ kind: "InvalidArgument" });
            expect(podName + podNamespace).to.match(/[;=\p{Cc}]/u);
            return;
          }
          const pairs = new Map(text.split(";").map((pair) => pair.split("=") as [string, string]));
          expect(pairs.get("K8S_POD_NAME")).to.equal(podName);
          expect(pairs.get("K8S_POD_NAMESPACE")).to.equal(podNamespace);
          expect(pairs.size).to.equal(4);
        }),
      );
    });
  });

  describe("bandwidth", () => {
    it("reads Kubernetes quantities as bits per second, rounded up", () => {
      for (const [text, rate] of [
        ["1k", 1000],
        ["1000", 1000],
        ["10M", 10_000_000],
        ["1.5G", 1_500_000_000],
        ["1Ki", 1024],
        ["1.0005k", 1001],
        [".5Mi", 524_288],
        ["1e4", 10_000],
        ["15E2", 1500],
        ["1000000m", 1000],
        ["+2k", 2000],
        ["1P", 1e15],
      ] as const) {
        expect(parseBandwidth(text), text).to.equal(rate);
      }
    });

    it("refuses what is none or out of bounds", () => {
      for (const text of [
        "",
        "k",
        ".",
        "1kk",
        "-1M",
        "1 M",
        "999",
        "1.1P",
        "2E",
        "0x10",
        "1K",
        "1e",
        "NaN",
        "1e99",
        "9".repeat(65),
      ]) {
        expect(() => parseBandwidth(text), text).to.throw(CriError);
      }
    });

    it("agrees with plain numbers in the whole range, whatever the unit", () => {
      fc.assert(
        fc.property(
          fc.integer({ min: 1, max: 999_999 }),
          fc.constantFrom("k", "M", "G"),
          (n, unit) => {
            const scale = { k: 1e3, M: 1e6, G: 1e9 }[unit];
            expect(parseBandwidth(`${n}${unit}`)).to.equal(n * scale);
            expect(parseBandwidth(String(n * scale))).to.equal(n * scale);
            expect(parseBandwidth(`${n}.000${unit}`)).to.equal(n * scale);
          },
        ),
      );
    });

    it("throws nothing but CriError for any text", () => {
      fc.assert(
        fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9.eEkMi+-]*$/)), (text) => {
          try {
            expect(parseBandwidth(text)).to.be.within(1e3, 1e15);
          } catch (error) {
            expect(error).to.be.instanceOf(CriError);
          }
        }),
      );
    });

    it("comes from the pod's annotations, with bursts that set no limit", () => {
      expect(podBandwidth({ other: "1k" })).to.equal(undefined);
      const bandwidth = podBandwidth({
        "kubernetes.io/ingress-bandwidth": "1M",
        "kubernetes.io/egress-bandwidth": "2M",
      });
      expect(bandwidthCapability(bandwidth ?? {})).to.deep.equal({
        ingressRate: 1e6,
        ingressBurst: 2147483647,
        egressRate: 2e6,
        egressBurst: 2147483647,
      });
      expect(() => podBandwidth({ "kubernetes.io/egress-bandwidth": "fast" })).to.throw(
        "kubernetes.io/egress-bandwidth",
      );
    });
  });

  it("refuses port mappings that are none", () => {
    const port: PortMapping = { hostPort: 80, containerPort: 80, protocol: "tcp", hostIp: "" };
    const args = (more: Partial<PortMapping>): object =>
      capabilityArgs({ portMappings: [{ ...port, ...more }], podCidrs: [] });
    expect(args({ protocol: "sctp", hostIp: "::1" })).to.deep.equal({
      portMappings: [{ hostPort: 80, containerPort: 80, protocol: "sctp", hostIP: "::1" }],
    });
    for (const bad of [
      { hostPort: 65536 },
      { hostPort: -1 },
      { hostPort: 1.5 },
      { containerPort: 0 },
      { hostIp: "localhost" },
    ]) {
      expect(() => args(bad), JSON.stringify(bad)).to.throw(CriError);
    }
  });

  it("reads pod ranges of both families", () => {
    expect(parsePodCidr("10.0.0.0/24, fd00::/64")).to.deep.equal(["10.0.0.0/24", "fd00::/64"]);
    expect(parsePodCidr("")).to.deep.equal([]);
    for (const bad of ["10.0.0.0", "10.0.0.0/x", "fd00::/129", "a,b", "10.0.0.0/8/8"]) {
      expect(() => parsePodCidr(bad), bad).to.throw(CriError);
    }
  });
});
