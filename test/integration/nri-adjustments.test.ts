import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { nriSocket } from "../support/node.ts";
import { TestPlugin } from "../support/nri-plugin.ts";
import type { TestPluginOptions } from "../support/nri-plugin.ts";
import { newRunc } from "../support/oci-engine.ts";
import { startOciNode, type OciNode } from "../support/oci-node.ts";
import {
  createContainer,
  hostSandboxConfig,
  numberedConfig,
  removeAllPods,
  runPod,
  shell,
  startContainer,
  type RunningPod,
} from "../support/pods.ts";
import { rpcFailure } from "../support/rpc-failure.ts";

type Answer = ReturnType<NonNullable<TestPluginOptions["create"]>>;

const containerConfig = numberedConfig("adjusted");

describe("adjustments of NRI plugins, with dockline-oci in front of the runtime", function () {
  this.timeout(120_000);
  const plugins: TestPlugin[] = [];
  let oci: OciNode;
  let pod: RunningPod;

  before(async () => {
    const runc = newRunc();
    oci = await startOciNode({ dockline: runc === undefined ? [] : [`--real-runtime=${runc}`] });
  });
  after(async () => {
    await oci.close();
  });
  beforeEach(async () => {
    pod = await runPod(oci.node, hostSandboxConfig(oci.node));
  });
  afterEach(async () => {
    for (const plugin of plugins.splice(0)) plugin.close();
    await removeAllPods(oci.node);
  });

  const connect = async (index: string, name: string, answer: Answer): Promise<TestPlugin> => {
    const socket = nriSocket(oci.node.folder);
    const plugin = new TestPlugin({ socket, index, name, create: () => answer });
    plugins.push(plugin);
    await plugin.join();
    return plugin;
  };
  const run = async (line = "sleep 1000"): Promise<string> =>
    await startContainer(oci.node, pod, containerConfig(line));
  const seen = async (id: string, line: string): Promise<string> =>
    (await shell(oci.node, id, line)).trim();

  it("reach the container, each plugin's part of it, and its execs", async () => {
    const source = join(oci.node.folder, "from-plugin");
    mkdirSync(source);
    writeFileSync(join(source, "file"), "content");
    await connect("10", "first", {
      adjust: {
        env: [
          { key: "NEW", value: "1" },
          { key: "BOTH", value: "first" },
        ],
        mounts: [
          { destination: "/plugin", source, type: "bind", options: ["rbind", "ro", "rprivate"] },
        ],
        rlimits: [{ type: "RLIMIT_NOFILE", hard: 2000n, soft: 1000n }],
        linux: {
          devices: [{ path: "/dev/mine", type: "c", major: 1n, minor: 5n }],
          resources: { cpu: { shares: { value: 333n } }, pids: { limit: 77n } },
        },
      },
    });
    const second = await connect("20", "second", {
      adjust: {
        env: [{ key: "-BOTH" }, { key: "BOTH", value: "second" }],
        linux: { oomScoreAdj: { value: 432n } },
      },
    });
    const id = await run();
    const told = second.heard.find(({ event }) => event === "CreateContainer")?.container;
    expect(told?.env).to.include.members(["NEW=1", "BOTH=first"]);
    expect(told?.mounts.map(({ destination }) => destination)).to.include("/plugin");
    const own = await seen(id, "tr '\\0' '\\n' </proc/1/environ");
    expect(own.split("\n")).to.include.members(["NEW=1", "BOTH=second"]);
    expect(await seen(id, "echo $NEW $BOTH")).to.equal("1 second");
    expect(await seen(id, "cat /plugin/file")).to.equal("content");
    expect(await seen(id, "stat -c '%t %T' /dev/mine")).to.equal("1 5");
    expect(await seen(id, "cat /proc/1/oom_score_adj")).to.equal("432");
    const limits = (await seen(id, "grep files /proc/1/limits")).replaceAll(/ +/g, " ");
    expect(limits).to.contain("1000 2000");
    const { HostConfig } = await oci.node.docker.inspectContainer(id);
    expect([HostConfig.CpuShares, HostConfig.PidsLimit]).to.deep.equal([333, 77]);
  });

  it("in conflict fail the create, with both names and the field, and leave nothing", async () => {
    const answer = { adjust: { env: [{ key: "A", value: "1" }] } };
    await connect("10", "first", answer);
    await connect("20", "second", answer);
    const error = await rpcFailure(createContainer(oci.node, pod, containerConfig("sleep 1000")));
    expect(error.code).to.equal("FAILED_PRECONDITION");
    expect(error.details).to.contain(
      'NRI plugins "20-second" and "10-first" both tried to set Env "A"',
    );
    expect((await oci.node.runtime.listContainers({})).containers).to.deep.equal([]);
  });

  it("that the node cannot carry out fail the create, by plugin and field", async () => {
    await connect("10", "first", {
      adjust: { mounts: [{ destination: "/x", source: "/absent/source", type: "bind" }] },
    });
    const error = await rpcFailure(createContainer(oci.node, pod, containerConfig("sleep 1000")));
    expect(error.code).to.equal("FAILED_PRECONDITION");
    expect(error.details).to.match(/NRI plugin 10-first: mounts "\/x": the source.*\/absent/);
    expect((await oci.node.runtime.listContainers({})).containers).to.deep.equal([]);
  });

  it("add CDI devices with all that these bring", async () => {
    const spec = "/var/run/cdi/dockline-test-nri.json";
    mkdirSync("/var/run/cdi", { recursive: true });
    const containerEdits = {
      env: ["FROM_CDI=yes"],
      deviceNodes: [{ path: "/dev/cdi", type: "c", major: 1, minor: 5 }],
    };
    const devices = [{ name: "d", containerEdits }];
    writeFileSync(
      spec,
      JSON.stringify({ cdiVersion: "0.6.0", kind: "dockline.test/nri", devices }),
    );
    try {
      await connect("10", "injector", {
        adjust: { CDIDevices: [{ name: "dockline.test/nri=d" }] },
      });
      const id = await run();
      expect(await seen(id, "echo $FROM_CDI; stat -c '%t %T' /dev/cdi")).to.equal("yes\n1 5");
    } finally {
      rmSync(spec);
    }
  });

  it("change other containers with the create of one", async () => {
    const other = await run();
    await connect("10", "policy", {
      update: [
        {
          containerId: other,
          linux: { resources: { cpu: { shares: { value: 456n } }, pids: { limit: 99n } } },
        },
      ],
    });
    await createContainer(oci.node, pod, containerConfig("sleep 1000"));
    const { HostConfig } = await oci.node.docker.inspectContainer(other);
    expect([HostConfig.CpuShares, HostConfig.PidsLimit]).to.deep.equal([456, 99]);
  });
});
