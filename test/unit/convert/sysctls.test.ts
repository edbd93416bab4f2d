import { expect } from "chai";
import { interfaceSysctls, toSysctls } from "../../../src/convert/sysctls.ts";
import { modern, old, refuses } from "./support.ts";

const own = { hostNetwork: false, hostIpc: false };

describe("convert/sysctls", () => {
  it("passes on what belongs to the pod", () => {
    const sysctls = {
      "net.ipv4.ip_unprivileged_port_start": "0",
      "kernel.shm_rmid_forced": "1",
      "fs.mqueue.msg_max": "100",
      "kernel.sem": "250 32000",
      "kernel.domainname": "x",
    };
    expect({ ...toSysctls(sysctls, own, modern) }).to.deep.equal(sysctls);
  });

  it("passes values on as they are: the kernel judges them", () => {
    for (const value of ["1024\t65535", "0 2147483647\n", '"1"', "  1  ", "", "1\n2", "é"]) {
      const sysctls = { "net.ipv4.x": value };
      expect({ ...toSysctls(sysctls, own, modern) }, JSON.stringify(value)).to.deep.equal(sysctls);
    }
  });

  it("takes slashes for dots", () => {
    const sysctls = { "net/ipv4/conf/all/forwarding": "1", "fs/mqueue/msg_max": "9" };
    expect({ ...toSysctls(sysctls, own, modern) }).to.deep.equal({
      "net.ipv4.conf.all.forwarding": "1",
      "fs.mqueue.msg_max": "9",
    });
  });

  it("keeps those of one interface back until there is one, and checks them all the same", () => {
    const early = {
      "net.ipv4.conf.all.rp_filter": "1",
      "net.ipv6.conf.default.accept_ra": "0",
      "net.ipv4.conf.lo.arp_ignore": "1",
      "net.ipv4.neigh.default.gc_thresh1": "9",
      "net.ipv4.conf.eth0": "1",
    };
    const late = {
      "net.ipv4.conf.eth0.rp_filter": "2",
      "net/ipv4/conf/eth0.7/arp_ignore": "1",
      "net.ipv6.conf.net1.accept_ra": "0\n",
      "net.ipv4.neigh.eth0.gc_stale_time": "90",
      "net.mpls.conf.allow.input": "1",
    };
    const sysctls = { ...early, ...late };
    expect({ ...toSysctls(sysctls, own, modern) }).to.deep.equal(early);
    expect(interfaceSysctls(sysctls)).to.deep.equal([
      { file: "net/ipv4/conf/eth0/rp_filter", value: "2" },
      { file: "net/ipv4/conf/eth0.7/arp_ignore", value: "1" },
      { file: "net/ipv6/conf/net1/accept_ra", value: "0\n" },
      { file: "net/ipv4/neigh/eth0/gc_stale_time", value: "90" },
      { file: "net/mpls/conf/allow/input", value: "1" },
    ]);
  });

  it("enables IPv6 where the engine disables it", () => {
    const enabled = {
      "net.ipv6.conf.all.disable_ipv6": "0",
      "net.ipv6.conf.default.disable_ipv6": "0",
      "net.ipv6.conf.lo.disable_ipv6": "0",
    };
    expect({ ...toSysctls({}, own, old) }).to.deep.equal(enabled);
    expect({ ...toSysctls({}, own, { apiMinor: 44 }) }).to.deep.equal(enabled);
    expect({ ...toSysctls({}, own, { apiMinor: 45 }) }).to.deep.equal({});
    expect({ ...toSysctls({}, own, { ...old, ipv6: false }) }).to.deep.equal({});
    expect({ ...toSysctls({}, { ...own, hostNetwork: true }, old) }).to.deep.equal({});
    const asked = { "net.ipv6.conf.all.disable_ipv6": "1" };
    expect({ ...toSysctls(asked, own, old) }).to.deep.equal({ ...enabled, ...asked });
  });

  for (const [name, value, scope] of [
    ["kernel.panic", "1", own],
    ["vm.swappiness", "1", own],
    ["fs.file-max", "1", own],
    ["kernel.shm_rmid_forced+", "1", own],
    ["kernel.shm_rmid_forced=1+kernel.core_pattern", "1", own],
    ["net.ipv4.x", "a\0", own],
    ["net/../kernel/core_pattern", "1", own],
    ["net..x", "1", own],
    ["", "1", own],
    ["net." + "a".repeat(600), "1", own],
    ["net.ipv4.ip_forward", "1", { hostNetwork: true, hostIpc: false }],
    ["net.ipv4.conf.eth0.rp_filter", "1", { hostNetwork: true, hostIpc: false }],
    ["net.ipv4.conf.eth0.rp_filter", "1\0", own],
    ["kernel.domainname", "1", { hostNetwork: true, hostIpc: false }],
    ["kernel.sem", "1", { hostNetwork: false, hostIpc: true }],
  ] as const) {
    it(`refuses ${JSON.stringify([name.slice(0, 40), value])}`, () => {
      refuses(() => toSysctls({ [name]: value }, scope, modern), /^sysctls\[/);
    });
  }
});
