import { expect } from "chai";
import { parseArguments } from "../../../src/config/argv.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { acceptedFlags, refusedFlags } from "../../../src/config/options.ts";
import type { Config } from "../../../src/config/options.ts";

const load = (...args: string[]): Config =>
  loadConfig({ flags: parseArguments(args).flags, environment: {} }).config;

/** Every flag of cri-dockerd 0.4.3 with a value of its own, and what has to come of it here. */
const taken: readonly [flag: string, value: string, becomes: Partial<Config>][] = [
  ["container-runtime-endpoint", "fd://", { containerRuntimeEndpoint: "fd://" }],
  ["docker-endpoint", "unix:///d.sock", { dockerEndpoint: "unix:///d.sock" }],
  ["pod-infra-container-image", "k/pause:1", { podInfraContainerImage: "k/pause:1" }],
  ["image-pull-progress-deadline", "1m0s", { imagePullProgressDeadline: 60_000 }],
  ["runtime-request-timeout", "15m", { runtimeRequestTimeout: 900_000 }],
  ["streaming-bind-addr", "127.0.0.1:9", { streamingBindAddr: "127.0.0.1:9" }],
  ["network-plugin", "cni", { networkPlugin: "cni" }],
  ["cni-conf-dir", "/c", { cniConfDir: "/c" }],
  ["cni-bin-dir", "/a,/b", { cniBinDir: ["/a", "/b"] }],
  ["cni-cache-dir", "/c", { cniCacheDir: "/c" }],
  ["pod-cidr", "10.0.0.0/24", { podCidr: "10.0.0.0/24" }],
  ["ipv6-dual-stack", "true", {}],
  ["log-level", "debug", { logLevel: "debug" }],
];
const refused = [
  ["cri-dockerd-root-directory", "/var/lib/cri-dockerd", "--state-dir"],
  ["runtime-cgroups", "/x.slice", "slice"],
  ["network-plugin-mtu", "1400", "mtu in the CNI plugin"],
  ["hairpin-mode", "hairpin-veth", "hairpinMode in the CNI bridge plugin"],
  ["network-plugin", "kubenet", "only cni"],
  ["network-plugin", "no-op", "only cni"],
  ["network-plugin", "", "only cni"],
] as const;

describe("cri-dockerd's command line", () => {
  for (const [flag, value, becomes] of taken) {
    it(`is taken by the same name: --${flag}`, () => {
      expect(load(`--${flag}=${value}`)).to.deep.include(becomes);
      if (flag !== "ipv6-dual-stack") {
        expect(load(`--${flag}`, value)).to.deep.include(becomes);
      }
    });
  }

  for (const [flag, value, words] of refused) {
    it(`is refused with what takes its place: --${flag}=${value}`, () => {
      expect(() => load(`--${flag}=${value}`)).to.throw(new RegExp(`^--${flag}.*${words}`));
    });
  }

  it("is known here in full, and nothing else is called cri-dockerd's", () => {
    const known = new Set([...taken, ...refused].map(([flag]) => flag));
    for (const flag of [...Object.keys(acceptedFlags), ...Object.keys(refusedFlags)]) {
      expect([...known]).to.include(flag);
    }
    // With --version, --buildinfo and --help, which end at once, these are all of them.
    expect(known.size).to.equal(17);
  });

  it("keeps the meaning of values that are spelled differently here", () => {
    for (const [given, level] of [
      ["trace", "debug"],
      ["warning", "warn"],
      ["fatal", "error"],
      ["panic", "error"],
    ] as const) {
      expect(load(`--log-level=${given}`).logLevel).to.equal(level);
    }
    const defaults = load();
    expect(load("--runtime-request-timeout=0").runtimeRequestTimeout).to.equal(120_000);
    expect(load("--pod-infra-container-image=")).to.deep.equal(defaults);
    expect(load("--streaming-bind-addr=")).to.deep.equal(defaults);
    expect(load("--ipv6-dual-stack", "--log-level=info")).to.deep.equal(defaults);
  });
});
