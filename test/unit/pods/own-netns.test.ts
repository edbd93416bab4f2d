import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import { NamespaceMode, PodSandboxConfigSchema } from "../../../src/gen/runtime/v1/api_pb.js";
import type { EngineFacts } from "../../../src/convert/engine-facts.ts";
import { silentLogger } from "../../../src/log.ts";
import { OwnNetns } from "../../../src/pods/own-netns.ts";
import type { OwnNetnsDeps } from "../../../src/pods/own-netns.ts";

const facts = (networkNamespaces: boolean): EngineFacts =>
  ({
    ...{ runtimes: ["runc", "runsc", "dockline"], defaultRuntime: "runc", apiMinor: 41 },
    editingRuntimes: [{ name: "dockline", recursiveReadOnly: true, networkNamespaces }],
  }) as unknown as EngineFacts;

describe("a pod's own network namespace", () => {
  let nowMs = 0;
  let engine = "one";
  const made: [string, boolean][] = [];
  const kept = new Map([
    ["one", true],
    ["two", false],
  ]);
  const own = (more: Partial<OwnNetnsDeps> = {}): OwnNetns =>
    new OwnNetns({
      namespaces: {
        share: () => Promise.resolve(),
        newPath: () => "/var/run/netns/dockline-x",
        make: (path, { mark }) => Promise.resolve(void made.push([path, mark])),
        ipv6IsKept: () => Promise.resolve(kept.get(engine) ?? false),
        remove: () => Promise.reject(new Error("busy")),
      },
      owners: { add: () => Promise.resolve() },
      isOn: true,
      engine: () => engine,
      clock: { monotonicMs: () => nowMs },
      log: silentLogger,
      ...more,
    });
  const pod = (options: object = {}, runtimeHandler = "") => ({
    config: create(PodSandboxConfigSchema, {
      linux: { securityContext: { namespaceOptions: options } },
    }),
    runtimeHandler,
  });
  beforeEach(() => {
    [nowMs, engine] = [0, "one"];
    made.length = 0;
  });

  it("is planned where dockline-oci can be called for the pod's runtime", () => {
    expect(own().plan(pod(), facts(true))).to.equal("/var/run/netns/dockline-x");
    expect(own().plan(pod(), facts(false)), "an older dockline-oci").to.equal(undefined);
    expect(own().plan(pod({}, "runsc"), facts(true)), "gVisor").to.equal(undefined);
    expect(own({ isOn: false }).plan(pod(), facts(true)), "switched off").to.equal(undefined);
    const node = { network: NamespaceMode.NODE };
    expect(own().plan(pod(node), facts(true)), "the host's network").to.equal(undefined);
    const ids = [{ containerId: 0, hostId: 131072, length: 65536 }];
    const userns = { usernsOptions: { mode: NamespaceMode.POD, uids: ids, gids: ids } };
    expect(own().plan(pod(userns), facts(true)), "a user namespace").to.equal(undefined);
  });

  it("shows with the first pod what the engine does to IPv6, for each engine", async () => {
    const namespaces = own();
    for (const [name, isKept] of kept) {
      engine = name;
      expect(namespaces.ipv6IsKept).to.equal(undefined);
      expect(await namespaces.make("/a")).to.equal(true);
      await namespaces.learn("/a");
      expect(namespaces.ipv6IsKept).to.equal(isKept);
      expect(await namespaces.make("/b")).to.equal(false);
    }
    expect(made).to.deep.equal([
      ["/a", true],
      ["/b", false],
      ["/a", true],
      ["/b", false],
    ]);
  });

  it("is Docker's for ten minutes when one cannot be made or seen, on this engine", () => {
    const namespaces = own();
    const words =
      "OCI runtime create failed: the network namespace /x does not exist where containers are started";
    expect(namespaces.isNotVisible(new Error(words))).to.equal(true);
    expect(namespaces.isNotVisible(new Error("no space left"))).to.equal(false);
    namespaces.giveUp(new Error(words));
    expect(namespaces.plan(pod(), facts(true))).to.equal(undefined);
    expect(namespaces.trouble).to.equal(words);
    engine = "two";
    expect(namespaces.plan(pod(), facts(true))).to.not.equal(undefined);
    engine = "one";
    nowMs = 600_000;
    expect(namespaces.plan(pod(), facts(true))).to.not.equal(undefined);
  });

  it("does not hold up a stop when it cannot be removed", async () => {
    await own().remove("/a");
  });
});
