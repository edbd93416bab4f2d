import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import { createConnection } from "node:net";
import { once } from "node:events";
import { toContainerLabels } from "../../../src/convert/labels.ts";
import { kindOf } from "../../../src/cri/status.ts";
import { CriError } from "../../../src/errors.ts";
import { Event } from "../../../src/gen/nri/v1alpha1/api_pb.js";
import {
  ContainerConfigSchema,
  PodSandboxConfigSchema,
} from "../../../src/gen/runtime/v1/api_pb.js";
import { NriGate } from "../../../src/hooks/gate.ts";
import { silentLogger } from "../../../src/log.ts";
import { tellOfCreated } from "../../../src/pods/told-create.ts";
import { NriAdjustments } from "../../../src/state/nri-adjustments.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { KeyedMutex } from "../../../src/sys/mutex.ts";
import { TestPlugin, type TestPluginOptions } from "../../support/nri-plugin.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { until } from "../../support/until.ts";
import { modern } from "../convert/support.ts";

const id = "ab".repeat(32);
const name = "k8s_n_p_d_u_0";
const state = (Status: string) => ({
  ...{ Status, Running: Status === "running", Paused: false, Pid: 0, ExitCode: 0, Error: "" },
  ...{ OOMKilled: false, StartedAt: "", FinishedAt: "" },
});
const entryOf = (Status = "created", extra: object = { nri: true }) =>
  ({
    ...{ id, name, kind: "container", state: state(Status), imageId: "", createdAtNs: 0n },
    identity: {
      ...{ kind: "container", podSandboxId: "p", runtimeHandler: "", labels: {}, annotations: {} },
      ...{ metadata: { name: "n", attempt: 0 }, extra },
    },
  }) as never;
const made = (nri: boolean) => {
  const config = create(ContainerConfigSchema, { metadata: { name: "n" } });
  const labels = toContainerLabels(config, { logDirectory: "" }, "p", name, "", nri ? { nri } : {});
  const sandboxConfig = create(PodSandboxConfigSchema, {});
  const sandbox = { id: "p", identity: { runtimeHandler: "", extra: {} } } as never;
  return { id, name, config, sandboxConfig, sandbox, body: { Labels: labels } as never };
};

describe("the gate of NRI", () => {
  let folder: ReturnType<typeof tempFolder>;
  let adjustments: NriAdjustments;
  let logged: string[];
  let gate: NriGate | undefined;
  const plugins: TestPlugin[] = [];
  /** What is on the disk when Docker is to change a container. */
  let savedThen: unknown;
  /** What the index knows, and what it fails with. */
  let index: { synced: boolean; entries: object[]; trouble: Error | undefined };
  beforeEach(async () => {
    folder = tempFolder();
    logged = [];
    savedThen = undefined;
    index = { synced: true, entries: [], trouble: undefined };
    adjustments = await NriAdjustments.open(folder.path("state"), silentLogger);
  });
  afterEach(async () => {
    for (const plugin of plugins.splice(0)) plugin.close();
    await gate?.close();
    folder.remove();
  });

  const open = async (more: object = {}): Promise<NriGate> => {
    const say = (_: object, text: string) => void logged.push(text);
    const log = { ...silentLogger, info: say, warn: say, error: say };
    const opened = new NriGate(
      {
        ...{ enableNri: true, nriListen: folder.path("nri.sock"), nriDisableConnections: false },
        ...{ nriPluginDir: folder.path("plugins"), nriPluginConfigDir: folder.path("conf") },
        ...{ nriPluginRegistrationTimeout: 20_000, nriPluginRequestTimeout: 20_000 },
        ...{ nriEnableDefaultValidator: false, nriValidatorRequiredPlugins: [] },
        ...{ nriValidatorTolerateMissingPluginsAnnotation: "", runDir: folder.path("run") },
        ...more,
      } as never,
      {
        ...{ adjustments, log, clock: systemClock, version: "0", factsNow: () => modern },
        records: { byId: () => undefined } as never,
        resources: { get: () => undefined } as never,
        engine: { inspectContainer: () => Promise.reject(new Error("no engine")) },
        index: {
          health: index,
          onChange: () => () => undefined,
          images: { peek: () => undefined },
          peek: () => index.entries[0],
          find: () => Promise.resolve(index.entries[0]),
          sandboxes: () => Promise.resolve([]),
          containers: () =>
            index.trouble === undefined
              ? Promise.resolve(index.entries)
              : Promise.reject(index.trouble),
        } as never,
        carrying: () =>
          ({
            ...{ adjustments, log, locks: new KeyedMutex(), facts: () => Promise.resolve(modern) },
            index: { peek: () => index.entries[0], find: () => Promise.resolve(undefined) },
            resources: { get: () => undefined },
            engine: {
              updateContainer: () => {
                savedThen = adjustments.get(id);
                return Promise.reject(new Error("the engine refuses"));
              },
            },
          }) as never,
      },
    );
    gate = opened;
    await opened.start();
    return opened;
  };
  const connect = (events = 0, more: Partial<TestPluginOptions> = {}): TestPlugin => {
    const plugin = new TestPlugin({ socket: folder.path("nri.sock"), events, ...more });
    plugins.push(plugin);
    return plugin;
  };
  const bit = (event: Event): number => 1 << (event - 1);

  it("counts a container as unfinished as long as it has not been started", async () => {
    const opened = await open();
    expect(opened.isUnfinished(entryOf())).to.equal(true);
    for (const status of ["running", "paused", "exited", "dead"]) {
      expect(opened.isUnfinished(entryOf(status)), status).to.equal(false);
    }
    expect(opened.isUnfinished(entryOf("created", {}))).to.equal(false);
    await adjustments.save(id, { plugins: [], applied: true });
    expect(opened.isUnfinished(entryOf())).to.equal(false);
  });

  it("takes whoever only connects for no plugin, and says nothing of it", async () => {
    const opened = await open();
    for (const said of [Buffer.alloc(0), Buffer.alloc(3)]) {
      const socket = createConnection(folder.path("nri.sock"));
      socket.resume();
      socket.end(said);
      await once(socket, "close");
    }
    expect(opened.info().plugins).to.deep.equal([]);
    expect(logged).to.deep.equal([]);
  });

  it("has the built-in validator judge creates with nobody connected", async () => {
    const opened = await open({
      nriEnableDefaultValidator: true,
      nriValidatorRequiredPlugins: ["balloons"],
    });
    expect([opened.active, opened.judging, opened.adjusting]).to.deep.equal([true, true, false]);
    index.entries = [entryOf()];
    const why: unknown = await opened.containerCreate(made(true)).catch((error: unknown) => error);
    expect(kindOf(why)).to.equal("FailedPrecondition");
    expect(String(why)).to.match(/balloons is not connected/);
  });

  it("marks creates that a plugin may refuse, also where it changes nothing", async () => {
    const opened = await open();
    await connect(bit(Event.VALIDATE_CONTAINER_ADJUSTMENT)).join();
    await until(() => opened.judging);
    expect(opened.adjusting).to.equal(false);
    plugins[0]?.close();
    await until(() => !opened.judging);
    await connect(bit(Event.STOP_CONTAINER)).join();
    await until(() => opened.connected === 1);
    expect(opened.judging).to.equal(false);
  });

  it("finishes a create that was to be adjusted after the plugin has left", async () => {
    const opened = await open();
    await connect(bit(Event.CREATE_CONTAINER)).join();
    plugins[0]?.close();
    await until(() => !opened.active);
    index.entries = [entryOf()];
    opened.hide(name);
    await tellOfCreated({ hooks: opened } as never, made(true));
    expect(adjustments.get(id)).to.deep.equal({ plugins: [], applied: true });
    expect([opened.isUnfinished(entryOf()), opened.isBeingMade(name)]).to.deep.equal([
      false,
      false,
    ]);
  });

  it("keeps nothing of what plugins said of a create that failed after they agreed", async () => {
    const opened = await open();
    const resources = { cpu: { shares: { value: 512n } } };
    const asks = { create: () => ({ adjust: { linux: { resources } } }) };
    await connect(bit(Event.CREATE_CONTAINER), asks).join();
    index.entries = [entryOf()];
    const why: unknown = await opened.containerCreate(made(true)).catch((error: unknown) => error);
    expect(String(why)).to.match(/the engine refuses/, (why as Error).stack);
    expect(savedThen).to.include({ applied: false });
    expect(adjustments.get(id)).to.equal(undefined);
    expect(opened.isUnfinished(entryOf())).to.equal(true);
  });

  it("informs a plugin that joined during a start of that start", async () => {
    const opened = await open();
    index.entries = [entryOf("created", {})];
    const plugin = await connect().join();
    await until(() => opened.connected === 1);
    expect(plugin.containers.map((one) => one.id)).to.deep.equal([id]);
    index.entries = [entryOf("running", {})];
    await opened.containerStarted(id);
    await opened.containerStarted(id);
    expect(plugin.heard.map(({ event }) => event)).to.deep.equal([
      "StartContainer",
      "PostStartContainer",
    ]);
  });

  it("ends the connection of a plugin that cannot join, with the reason", async () => {
    const opened = await open();
    index.trouble = new CriError("Unavailable", "no engine");
    const plugin = connect();
    await plugin.register();
    await plugin.ended;
    expect(opened.info().plugins).to.have.length(1);
    expect(opened.info().plugins[0]).to.include({ connected: false, lastError: "no engine" });
    expect([opened.active, opened.connected]).to.deep.equal([false, 0]);
  });

  it("ends all connections when it closes: silent ones, and those that wait for the engine", async () => {
    index.synced = false;
    const opened = await open();
    const plugin = connect();
    const unregistered = connect();
    const silent = createConnection(folder.path("nri.sock"));
    silent.on("error", () => undefined);
    silent.resume();
    await once(silent, "connect");
    unregistered.socket.write(Buffer.alloc(1));
    await plugin.register();
    await until(() => opened.active);
    const ended = once(silent, "close");
    await opened.close();
    await Promise.all([plugin.ended, unregistered.ended, ended]);
    await until(() => !opened.active);
  });
});
