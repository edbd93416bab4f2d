import { mkdirSync, writeFileSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { expect } from "chai";
import { EngineError } from "../../../src/engine/errors.ts";
import { CriError } from "../../../src/errors.ts";
import type { Device } from "../../../src/gen/runtime/v1/api_pb.js";
import { silentLogger } from "../../../src/log.ts";
import type { AskedName, SandboxId } from "../../../src/convert/names.ts";
import { Sandboxes } from "../../../src/pods/sandboxes.ts";
import { makingRoom, takeDown } from "../../../src/pods/teardown.ts";
import { HostPaths } from "../../../src/containers/host-paths.ts";
import { updateResources } from "../../../src/rpc/update-resources.ts";
import { noHooks } from "../../../src/pods/hooks.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { KeyedMutex } from "../../../src/sys/mutex.ts";
import { RemotePaths } from "../../../src/sys/remote-paths.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const name = "k8s_POD_a_test_u_0" as AskedName;
const podId = "1".repeat(64) as SandboxId;
const memberId = "2".repeat(64);
const memberName = "k8s_main_a_test_u_0";

interface FakeRecord {
  name: string;
  id?: string;
  phase: string;
  configHash: string;
  ips: string[];
}

/** As much of the daemon as these calls touch; `did` is what reached engine and records, in order. */
function rig(first: FakeRecord) {
  let record: FakeRecord | undefined = first;
  const did: string[] = [];
  const locks = new KeyedMutex();
  const gone = (): Promise<never> =>
    Promise.reject(
      new EngineError({ failure: "status", status: 404, operation: "inspect", message: "none" }),
    );
  const deps = {
    locks,
    clock: systemClock,
    hooks: noHooks,
    log: silentLogger,
    records: {
      all: () => (record === undefined ? [] : [record]),
      byName: () => record,
      byId: () => record,
      byIdPrefix: () => record,
      delete: () => {
        record = undefined;
        return Promise.resolve(void did.push("record deleted"));
      },
      save: (changed: FakeRecord) => {
        record = changed;
        return Promise.resolve(void did.push("record saved"));
      },
      saveIfPossible: (changed: FakeRecord) => {
        record = changed;
        return Promise.resolve();
      },
    },
    engine: {
      inspectContainer: gone,
      killContainer: () => Promise.resolve(true),
      removeContainer: (id: string) => Promise.resolve(void did.push(`removed ${id.slice(0, 1)}`)),
    },
    index: {
      mark: () => 0,
      find: () => Promise.resolve({ id: podId, name, kind: "podsandbox", identity: { extra: {} } }),
      sandboxes: () => Promise.resolve([]),
      peek: () => undefined,
      membersOf: () =>
        Promise.resolve([
          { id: memberId, name: memberName, state: { Running: false, Status: "exited" } },
        ]),
      removed: () => undefined,
      touched: () => undefined,
      touchedRecord: () => undefined,
    },
    logs: { remove: () => Promise.resolve() },
    ownNetns: { remove: () => Promise.resolve() },
  };
  /** Holds a lock until `release` is called. */
  const hold = (key: string): (() => void) => {
    let release = (): void => undefined;
    void locks.run(key, () => new Promise<void>((resolve) => (release = resolve)));
    return () => {
      release();
    };
  };
  const sandboxes = new Sandboxes(deps as never);
  return { deps: { ...deps, sandboxes } as never, did, sandboxes, hold };
}

const settled = async (): Promise<void> => {
  for (let round = 0; round < 20; round += 1) await turn();
};

describe("locks of a sandbox", () => {
  const record = (id?: string): FakeRecord => ({
    ...{ name, phase: "creating", configHash: "h", ips: [] },
    ...(id === undefined ? {} : { id }),
  });

  it("are not waited for by the clean-up while a call works on the sandbox", async () => {
    const { did, sandboxes, hold } = rig(record());
    const release = hold(`sandbox:${name}`);
    const { signal } = new AbortController();
    const call = sandboxes.of(name).keepResources(podId, {}, signal);
    // Would wait for minutes under the lock of that call.
    await sandboxes.settle();
    expect(did).to.deep.equal([]);
    release();
    await call;
    await sandboxes.settle();
    expect(did).to.deep.equal(["record deleted"]);
  });

  it("are each container's own when what is left of a sandbox is taken down", async () => {
    const { deps, did, sandboxes, hold } = rig(record(podId));
    const release = hold(`container:${memberName}`);
    const remains = { ids: [podId], record: record(podId) as never, entry: undefined };
    const cleared = takeDown(deps, sandboxes.of(name), remains, makingRoom);
    await settled();
    expect(did, "while another call has the container").to.deep.equal([]);
    release();
    await cleared;
    expect(did).to.deep.equal(["removed 2", "removed 1", "record deleted"]);
  });

  it("are held by UpdatePodSandboxResources, which else would save over a newer record", async () => {
    const { deps, did, hold } = rig(record(podId));
    const release = hold(`sandbox:${name}`);
    const { updatePodSandboxResources } = updateResources(deps);
    const updated = updatePodSandboxResources?.(
      { podSandboxId: podId } as never,
      { signal: new AbortController().signal } as never,
    );
    await settled();
    expect(did).to.deep.equal([]);
    release();
    await updated;
    expect(did).to.deep.equal(["record saved"]);
  });
});

describe("devices of a container to be made", () => {
  let temporary: ReturnType<typeof tempFolder>;
  beforeEach(() => {
    temporary = tempFolder();
  });
  afterEach(() => {
    temporary.remove();
  });
  const require = async (...paths: string[]): Promise<unknown> => {
    const remote = new RemotePaths();
    const devices = paths.map((hostPath) => ({ hostPath }) as Device);
    return await new HostPaths({ remote, rejectAbsent: [] })
      .requireDevices(devices)
      .catch((error: unknown) => error);
  };

  it("are looked at before anything exists: one that is missing, or is none, is named", async () => {
    const file = temporary.path("file");
    writeFileSync(file, "");
    for (const [path, message] of [
      [temporary.path("none"), /^devices\[1\]\.host_path: ".*none".*does not exist/],
      [file, /^devices\[1\]\.host_path: ".*file" is no device$/],
    ] as const) {
      const error = await require("/dev/null", path);
      expect(error).to.be.instanceOf(CriError).and.include({ kind: "FailedPrecondition" });
      expect((error as Error).message).to.match(message);
    }
  });

  it("may be folders of devices", async () => {
    mkdirSync(temporary.path("folder"));
    expect(await require("/dev/null", temporary.path("folder"))).to.equal(undefined);
  });
});
