import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import { collectNamespaces } from "../../../src/pods/netns-gc.ts";
import { NetnsOwners } from "../../../src/state/netns-owners.ts";
import { SandboxRecords } from "../../../src/state/sandbox-records.ts";
import type { SandboxRecord } from "../../../src/state/sandbox-records.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const record = (name: string, ownNetns?: string): SandboxRecord =>
  ({
    ...{ name, phase: "ready", configHash: "", hostNetwork: false, config: "", runtimeHandler: "" },
    ...{ createdAtNs: "1", ips: [] },
    ...(ownNetns === undefined ? {} : { ownNetns }),
  }) as unknown as SandboxRecord;

describe("whose a network namespace is", () => {
  const temp = tempFolder();
  after(() => temp.remove());
  let round = 0;
  const folder = (name: string): string => temp.path(`${round}-${name}`);
  const owners = (state: string): NetnsOwners =>
    new NetnsOwners(folder(state), silentLogger, folder("owners"));
  beforeEach(() => {
    round += 1;
  });

  const save = async (state: string, ...records: SandboxRecord[]): Promise<void> => {
    const store = await SandboxRecords.open(folder(state), silentLogger);
    for (const one of records) await store.save(one);
  };
  /** What a collection removes of these, by the Dockline with this state folder. */
  const collect = async (by: NetnsOwners, ...there: string[]): Promise<string[]> => {
    const removed: string[] = [];
    const namespaces = {
      list: () => Promise.resolve(there),
      remove: (path: string) => Promise.resolve(void removed.push(path)),
    };
    await collectNamespaces({ namespaces, owners: by, log: silentLogger });
    return removed;
  };

  it("is what a record of any Dockline of the machine says", async () => {
    await save("one", record("a", "/n/1"), record("b"));
    await save("two", record("c", "/n/2"));
    await owners("two").add();
    expect(await collect(owners("one"), "/n/1", "/n/2", "/n/3")).to.deep.equal(["/n/3"]);
    rmSync(folder("two"), { recursive: true });
    expect(await collect(owners("one"), "/n/1", "/n/2"), "it lives, out of sight").to.deep.equal(
      [],
    );
    // Its process is gone as well: nobody knows its pods any more.
    const [entry = ""] = readdirSync(folder("owners"));
    const owner = JSON.stringify({ stateDir: folder("two"), pid: 1, startTicks: "x" });
    writeFileSync(`${folder("owners")}/${entry}`, owner);
    expect(await collect(owners("one"), "/n/1", "/n/2")).to.deep.equal(["/n/2"]);
    expect(readdirSync(folder("owners"))).to.deep.equal([]);
  });

  it("is not known while a record cannot be read, or is of a newer version", async () => {
    await save("one", record("a"));
    mkdirSync(folder("owners"));
    const file = `${folder("one")}/sandboxes/x.json`;
    writeFileSync(file, JSON.stringify({ version: 2, checksum: "", record: {} }));
    expect(await collect(owners("one"), "/n/1")).to.deep.equal([]);
    writeFileSync(file, "damaged");
    expect(await collect(owners("one"), "/n/1")).to.deep.equal(["/n/1"]);
  });

  it("is written down for others while something is in use, and not after that", async () => {
    const one = owners("one");
    await one.add();
    await one.close(true);
    expect(readdirSync(folder("owners"))).to.have.length(1);
    await one.close(false);
    expect(existsSync(folder("owners"))).to.equal(false);
    await owners("one").close(false);
  });
});
