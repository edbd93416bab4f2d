import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { noteOwner, sweepKilledRuns } from "../../differential/killed-runs.ts";
import { tempFolder } from "../../support/temp-folder.ts";

describe("what a killed run of the differential suite has left", () => {
  let temporary: ReturnType<typeof tempFolder>;
  beforeEach(() => {
    temporary = tempFolder();
  });
  afterEach(() => {
    temporary.remove();
  });
  const folderOf = (name: string): string => {
    const folder = temporary.path(`run-${name}`);
    mkdirSync(folder);
    return folder;
  };
  const rewrite = (folder: string, change: (owner: Record<string, unknown>) => object): void => {
    const path = join(folder, "owner.json");
    const owner = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
    writeFileSync(path, JSON.stringify(change(owner)));
  };

  it("goes at the next start, with its server; what other runs have stays", async () => {
    const server = spawn("sleep", ["100"]);
    const ended = once(server, "exit");
    const nodeFolder = temporary.path("node");
    mkdirSync(nodeFolder);
    const [dead, alive] = [folderOf("dead"), folderOf("alive")];
    noteOwner(dead, { server: server.pid!, folder: nodeFolder });
    noteOwner(alive, {});
    // The pid lives, as another process that got it later.
    rewrite(dead, (owner) => ({ ...owner, run: [process.pid, "1"] }));
    expect(sweepKilledRuns(temporary.path("run-"))).to.deep.equal([dead]);
    await ended;
    expect(server.signalCode).to.equal("SIGKILL");
    expect([dead, nodeFolder, alive].map((path) => existsSync(path))).to.deep.equal([
      false,
      false,
      true,
    ]);
  });

  it("kills no process that got the server's pid later", async () => {
    const other = spawn("sleep", ["100"]);
    const ended = once(other, "exit");
    const dead = folderOf("dead");
    noteOwner(dead, { server: other.pid! });
    rewrite(dead, (owner) => ({ ...owner, run: [1, "x"], serverName: [other.pid, "1"] }));
    sweepKilledRuns(temporary.path("run-"));
    expect(other.kill("SIGTERM")).to.equal(true);
    await ended;
    expect(other.signalCode).to.equal("SIGTERM");
  });

  it("is nobody's yet when the folder was made just now", () => {
    const [young, old] = [folderOf("young"), folderOf("old")];
    utimesSync(old, 0, 0);
    expect(sweepKilledRuns(temporary.path("run-"))).to.deep.equal([old]);
    expect(existsSync(young)).to.equal(true);
  });
});
