import { lstatSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import {
  handBack,
  isEmpty,
  planHandBack,
  readHandBack,
  undoHandBack,
} from "../../../src/admin/hand-back.ts";
import type { HandBackPlan } from "../../../src/admin/hand-back.ts";
import type { FoundContainer } from "../../../src/admin/migrate-node.ts";
import { PodSandboxConfigSchema } from "../../../src/gen/runtime/v1/api_pb.js";
import { sandboxName } from "../../../src/convert/names.ts";
import type { SandboxRecord } from "../../../src/state/sandbox-records.ts";

const sandboxId = "a".repeat(64);
const containerIds = ["b".repeat(64), "c".repeat(64)];

describe("a hand-back that broke off", () => {
  let folder: string;
  let journalPath: string;
  const path = (...names: string[]): string => join(folder, ...names);
  const log = (at: number): string => path("logs", `${at}.log`);
  const dockerLog = (at: number): string => path("docker", `${at}-json.log`);
  const checkpoint = (): string => path("cri-dockerd", "sandbox", sandboxId);

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "dockline-back-"));
    journalPath = path("handed-back.json");
    for (const name of ["logs", "docker"]) mkdirSync(path(name));
    containerIds.forEach((_, at) => {
      writeFileSync(log(at), `cri ${at}`);
      writeFileSync(dockerLog(at), `docker ${at}`);
    });
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const containers = (): FoundContainer[] =>
    [sandboxId, ...containerIds].map((id, at) => {
      const kind = id === sandboxId ? "podsandbox" : "container";
      const identity = { kind, legacy: false, logPath: log(at - 1) };
      const inspect = { State: { Running: true }, LogPath: dockerLog(at - 1) };
      return { id, identity, inspect } as FoundContainer;
    });
  const records = (): SandboxRecord[] => {
    const metadata = { name: "web", namespace: "shop", uid: "1", attempt: 0 };
    const config = toBinary(
      PodSandboxConfigSchema,
      create(PodSandboxConfigSchema, { metadata, hostname: "web" }),
    );
    const network = {
      ...{ networkName: "net", cniVersion: "1.0.0", ifName: "eth0", containerId: sandboxId },
      ...{ netns: "/n", plugins: [], disableCheck: false, args: [], capabilityArgs: {}, ips: [] },
      result: { cniVersion: "1.0.0" },
    };
    return [
      {
        ...{ name: sandboxName(metadata), id: sandboxId, phase: "ready", configHash: "" },
        ...{ hostNetwork: false, config: Buffer.from(config).toString("base64"), network },
        ...{ runtimeHandler: "", createdAtNs: "1", ips: [] },
      },
    ];
  };
  const plan = async (): Promise<HandBackPlan> =>
    planHandBack({
      containers: containers(),
      records: records(),
      criDockerdRoot: path("cri-dockerd"),
      cacheDir: path("cache"),
      journal: await readHandBack(journalPath),
    });

  it("takes the pins of network namespaces away, which cri-dockerd would leave", async () => {
    const pin = path("dockline-00000000-1111-4222-8333-444444444444");
    writeFileSync(pin, "");
    const removed: string[] = [];
    const remove = (one: string): Promise<void> => {
      removed.push(one);
      rmSync(one);
      return Promise.resolve();
    };
    const own = records().map((record) => ({ ...record, ownNetns: pin }));
    const asked = { containers: containers(), records: own, cacheDir: path("cache") };
    const found = await planHandBack({ ...asked, criDockerdRoot: path("cri-dockerd") });
    await handBack(found, journalPath, { remove });
    expect(removed).to.deep.equal([pin]);
    const journal = await readHandBack(journalPath);
    const again = await planHandBack({ ...asked, criDockerdRoot: path("cri-dockerd"), journal });
    expect(isEmpty(again)).to.equal(true);
  });

  it("has nothing left to do when it was through", async () => {
    await handBack(await plan(), journalPath);
    expect(isEmpty(await plan())).to.equal(true);
    expect(JSON.parse(readFileSync(checkpoint(), "utf8"))).to.include({ name: "web" });
  });

  it("does what was not done, and can still be undone as a whole", async () => {
    await handBack(await plan(), journalPath);
    const journal = await readHandBack(journalPath);
    // As a kill leaves it: the checkpoint missing, one log moved without its link, one untouched.
    rmSync(checkpoint());
    rmSync(log(0));
    rmSync(log(1));
    renameSync(`${log(1)}.dockline`, log(1));
    const rest = await plan();
    expect(rest.checkpoints.map((one) => one.path)).to.deep.equal([checkpoint()]);
    expect(rest.attachments).to.deep.equal([]);
    expect(rest.logs.map((one) => one.path)).to.deep.equal([log(0), log(1)]);
    await handBack(rest, journalPath);
    expect([readlinkSync(log(0)), readlinkSync(log(1))]).to.deep.equal([
      dockerLog(0),
      dockerLog(1),
    ]);
    expect(isEmpty(await plan())).to.equal(true);
    const after = await readHandBack(journalPath);
    expect(after?.created.sort()).to.deep.equal(journal?.created.sort());
    expect(after?.logs).to.deep.equal(journal?.logs);

    await undoHandBack(after!, journalPath);
    for (const at of [0, 1]) {
      expect(lstatSync(log(at)).isFile()).to.equal(true);
      expect(readFileSync(log(at), "utf8")).to.equal(`cri ${at}`);
    }
    expect(await readHandBack(journalPath)).to.equal(undefined);
  });

  it("keeps in its journal what was done before, when only a part is left", async () => {
    await handBack(await plan(), journalPath);
    rmSync(log(1));
    renameSync(`${log(1)}.dockline`, log(1));
    await handBack(await plan(), journalPath);
    const journal = await readHandBack(journalPath);
    expect(journal?.logs.map((one) => one.path).sort()).to.deep.equal([log(0), log(1)]);
    expect(journal?.created).to.have.length(2);
  });
});
