import { expect } from "chai";
import { namesFrom } from "../../../src/daemon/log-names.ts";
import type { ContainerEntry } from "../../../src/index/container-index.ts";
import { withCallTrace } from "../../../src/sys/call-trace.ts";
import type { CallTarget } from "../../../src/sys/call-trace.ts";

const pod = { name: "web", namespace: "shop", uid: "u", attempt: 0 };
const entries: Record<string, unknown> = {
  p1: { kind: "podsandbox", metadata: pod },
  c1: {
    kind: "container",
    metadata: { name: "nginx", attempt: 0 },
    podSandboxMetadata: pod,
    podSandboxId: "p1",
  },
};
const names = namesFrom({
  peek: (id: string) => {
    const identity = entries[id];
    return identity === undefined ? undefined : ({ identity } as unknown as ContainerEntry);
  },
});
const within = <T>(target: CallTarget, work: () => T): T =>
  withCallTrace({ rpc: "x", startedAtMs: 0, steps: [], target }, work);

describe("the names in lines of the log", () => {
  const web = { pod: "web", namespace: "shop" };

  it("are those of the line's container or pod", () => {
    expect(names({ containerId: "c1" })).to.deep.equal({ ...web, container: "nginx", podId: "p1" });
    expect(names({ podId: "p1" })).to.deep.equal(web);
    expect(names({ containerId: "unknown" })).to.deep.equal({});
    expect(names({})).to.deep.equal({});
  });

  it("are read out of the Docker name of a sandbox that has no id yet", () => {
    expect(names({ sandbox: "k8s_POD_web_shop_u_0" })).to.deep.equal(web);
    expect(names({ sandbox: "something else" })).to.deep.equal({});
  });

  it("are those of the call that a line belongs to, unless the line is about another", () => {
    const target = { podName: "db", namespace: "shop", containerId: "new" };
    const db = { pod: "db", namespace: "shop", containerId: "new" };
    within(target, () => {
      expect(names({ hostPath: "/x" })).to.deep.equal(db);
      expect(names({ containerId: "new" })).to.deep.equal(db);
      expect(names({ containerId: "c1" })).to.include(web);
      expect(names({ containerId: "unknown" })).to.deep.equal({});
    });
  });
});
