import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import { createForwardPolicySource } from "../../../src/network/forward-policy.ts";
import type { ForwardPolicy } from "../../../src/network/forward-policy.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { ProcessError } from "../../../src/sys/process.ts";

const cniForward = '-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD';
const docker = [
  "-A FORWARD -j DOCKER-USER",
  "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
  "-A FORWARD -o docker0 -j DOCKER",
  "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
  "-A FORWARD -i docker0 -o docker0 -j ACCEPT",
];

describe("FORWARD policy", () => {
  const read = async (
    rules: readonly string[],
    more: { user?: string; stderr?: string; legacy?: string; policy?: string } = {},
  ): Promise<ForwardPolicy> => {
    const source = createForwardPolicySource({
      clock: systemClock,
      log: silentLogger,
      run: (program, args) => {
        if (program === "ip6tables") throw new ProcessError("spawn", "ENOENT");
        const chain = args.at(-1) ?? "";
        let stdout = [`-P FORWARD ${more.policy ?? "DROP"}`, ...rules, ""].join("\n");
        if (chain === "DOCKER-USER") stdout = `-N DOCKER-USER\n${more.user ?? ""}\n`;
        if (program === "iptables-legacy") stdout = more.legacy ?? "";
        return Promise.resolve({ exitCode: 0, stdout, stderr: more.stderr ?? "" });
      },
    });
    return await source.current();
  };

  it("of DROP cuts pods off and is reported with the remedy", async () => {
    const policy = await read(docker);
    expect(policy).to.include({ ipv4: "DROP", ipv6: "unknown" });
    expect(policy.message).to.include('"iptables -P FORWARD ACCEPT"').and.include("IPv4");
    expect(policy.message).not.to.include("IPv6");
  });

  it("of ACCEPT needs no words", async () => {
    expect(await read([], { policy: "ACCEPT" })).to.include({ ipv4: "ACCEPT", message: "" });
  });

  it("of DROP stays so with the firewall plugin, which admits only what pods begin", async () => {
    expect((await read([cniForward, ...docker])).ipv4).to.equal("DROP");
  });

  for (const [what, rules, user] of [
    [
      "a network's own chain",
      ['-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD'],
    ],
    [
      "a range in both directions",
      ["-A FORWARD -s 10.1.0.0/16 -j ACCEPT", "-A FORWARD -d 10.1.0.0/16 -j ACCEPT"],
    ],
    [
      "an interface in both directions",
      ["-A FORWARD -i cni0 -j ACCEPT", "-A FORWARD -o cni0 -j ACCEPT"],
    ],
    ["everything in Docker's chain for users", docker, "-A DOCKER-USER -j ACCEPT"],
  ] as const) {
    it(`of DROP is made good by a rule for ${what}`, async () => {
      expect((await read(rules, user === undefined ? {} : { user })).ipv4).to.equal("ACCEPT");
    });
  }

  for (const [what, rules] of [
    ["one direction", ["-A FORWARD -s 10.1.0.0/16 -j ACCEPT"]],
    ["other states only", ["-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"]],
    [
      "a negated interface",
      ["-A FORWARD -i cni0 ! -o cni0 -j ACCEPT", "-A FORWARD -i cni0 -j ACCEPT"],
    ],
  ] as const) {
    it(`of DROP is not made good by a rule for ${what}`, async () => {
      expect((await read(rules)).ipv4).to.equal("DROP");
    });
  }

  it("counts in the other kernel interface when it holds tables too", async () => {
    const stderr = "# Warning: iptables-legacy tables present, use iptables-legacy to see them\n";
    const both = await read([], { policy: "ACCEPT", stderr, legacy: "-P FORWARD DROP\n" });
    expect(both.ipv4).to.equal("DROP");
  });

  it("is asked for once a minute, and the answer of the last minute is given meanwhile", async () => {
    let nowMs = 0;
    let runs = 0;
    let policy = "ACCEPT";
    const source = createForwardPolicySource({
      clock: { ...systemClock, monotonicMs: () => nowMs },
      log: silentLogger,
      run: () => {
        runs += 1;
        return Promise.resolve({ exitCode: 0, stdout: `-P FORWARD ${policy}\n`, stderr: "" });
      },
    });
    await Promise.all([source.current(), source.current()]);
    expect(runs).to.equal(2);
    policy = "DROP";
    nowMs = 59_000;
    expect((await source.current()).ipv4).to.equal("ACCEPT");
    nowMs = 61_000;
    await source.current();
    await new Promise((resolve) => setImmediate(resolve));
    expect(await source.current()).to.include({ ipv4: "DROP", ipv6: "DROP" });
    expect(runs).to.equal(4);
  });
});
