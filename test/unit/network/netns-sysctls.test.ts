import { expect } from "chai";
import { CriError } from "../../../src/errors.ts";
import { writeNetnsSysctls } from "../../../src/network/netns-sysctls.ts";
import { isStillAt } from "../../../src/pods/pod-netns.ts";

describe("sysctls of a pod's interfaces", () => {
  const { signal } = new AbortController();
  const at = (netns: string) => ({
    netns,
    isOurs: () => isStillAt("id", { path: netns }),
  });
  const none = [{ file: "net/ipv4/conf/dockline-none/rp_filter", value: "1" }];

  it("are never written into the node's own namespace, nor into one that is gone", async () => {
    for (const path of ["/proc/self/ns/net", "/none", ""]) {
      const error = await writeNetnsSysctls(at(path), none, signal).catch(
        (thrown: unknown) => thrown,
      );
      expect(error, path).to.be.instanceOf(CriError);
      expect((error as CriError).message).to.match(/namespace is gone/);
    }
  });

  it("need no namespace where there are none", async () => {
    await writeNetnsSysctls(at(""), [], signal);
  });
});
