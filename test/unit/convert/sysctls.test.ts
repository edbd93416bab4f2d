import { expect } from "chai";
import { toSysctls } from "../../../src/convert/sysctls.ts";
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

  it("takes slashes for dots", () => {
    const sysctls = { "net/ipv4/conf/eth0.1/forwarding": "1" };
    expect({ ...toSysctls(sysctls, own, modern) }).to.deep.equal({
      "net.ipv4.conf.eth0/1.forwarding": "1",
    });
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
    ["net.ipv4.x", "1\n2", own],
    ["net.ipv4.x", "a\0", own],
    ["net/../kernel/core_pattern", "1", own],
    ["net..x", "1", own],
    ["", "1", own],
    ["net." + "a".repeat(600), "1", own],
    ["net.ipv4.ip_forward", "1", { hostNetwork: true, hostIpc: false }],
    ["kernel.domainname", "1", { hostNetwork: true, hostIpc: false }],
    ["kernel.sem", "1", { hostNetwork: false, hostIpc: true }],
  ] as const) {
    it(`refuses ${JSON.stringify([name.slice(0, 40), value])}`, () => {
      refuses(() => toSysctls({ [name]: value }, scope, modern), /^sysctls\[/);
    });
  }
});
