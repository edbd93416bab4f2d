import { Readable } from "node:stream";
import { expect } from "chai";
import { pack } from "tar-stream";
import type { ArchiveStream, Engine } from "../../../src/engine/engine.ts";
import { EngineError } from "../../../src/engine/errors.ts";
import type { ContainerSummary } from "../../../src/engine/types.ts";
import { createAccountReader, sweepScratch } from "../../../src/images/accounts.ts";
import { silentLogger } from "../../../src/log.ts";

const operation = "read container file";
const failed = (status: number, message: string): EngineError =>
  new EngineError({ failure: "status", status, operation, message });
const gone = (): EngineError => failed(404, "No such container: abc");
const missing = (path: string): EngineError =>
  failed(404, `Could not find the file ${path} in container abc`);

async function archive(entry: {
  content?: string;
  type?: "file" | "symlink" | "directory";
  linkTarget?: string;
}): Promise<ArchiveStream> {
  const tar = pack();
  const { content = "", type = "file", linkTarget } = entry;
  const header = { name: "x", type, ...(type === "symlink" ? { linkname: "anything" } : {}) };
  tar.entry(header, type === "file" ? content : "");
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  const stream = Readable.from([Buffer.concat(chunks)], { objectMode: false });
  return linkTarget === undefined ? stream : Object.assign(stream, { linkTarget });
}

/** An engine whose archives are what `files` says for each path, time after time. */
function rig(files: Record<string, (() => Promise<ArchiveStream>)[]>) {
  const calls: string[] = [];
  const failures: string[] = [];
  const engine: Pick<Engine, "createContainer" | "readArchive" | "removeContainer"> = {
    createContainer: (name) => {
      calls.push(`create ${name.replace(/[0-9a-f]+/g, "*")}`);
      return Promise.resolve({ id: "abc", warnings: [] });
    },
    readArchive: (_, path) => {
      calls.push(`read ${path}`);
      const answers = files[path] ?? [];
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (answer === undefined) return Promise.reject(missing(path));
      return answer().catch((error: unknown) => {
        failures.push("removing" in (error as Error) ? "No such container" : String(error));
        throw error;
      });
    },
    removeContainer: (id) => {
      calls.push(`remove ${id === "abc" ? id : "by name"}`);
      const [last = ""] = failures.splice(0);
      // Pruned before, or just now.
      if (last.includes("No such container")) return Promise.reject(gone());
      if (last.includes("RWLayer")) return Promise.reject(failed(409, "already in progress"));
      return Promise.resolve();
    },
  };
  return { engine, calls, read: createAccountReader(engine, silentLogger) };
}
const text = (content: string) => () => archive({ content });
const link = (linkTarget: string) => () => archive({ type: "symlink", linkTarget });
const fails = (error: () => Error) => () => Promise.reject(error());
const failureOf = (work: Promise<unknown>): Promise<string> => work.then(() => "", String);
const reads = (calls: string[]): number => calls.filter((call) => call.startsWith("read")).length;

describe("an image's accounts", () => {
  it("are read once, and a missing file is an empty one", async () => {
    const { read, calls } = rig({ "/etc/passwd": [text("root:x:0:0\n")] });
    const expected = { passwd: "root:x:0:0\n", group: "" };
    expect(await read("sha256:1")).to.deep.equal(expected);
    expect(await read("sha256:1")).to.deep.equal(expected);
    expect(reads(calls)).to.equal(2);
    expect(calls.at(-1)).to.equal("remove abc");
  });

  it("are read where links lead, and are none where they lead nowhere or round", async () => {
    const { read } = rig({
      "/etc/passwd": [link("/nix/passwd")],
      "/nix/passwd": [text("nix")],
      "/etc/group": [link("/etc/group")],
    });
    expect(await read("a")).to.deep.equal({ passwd: "nix", group: "" });
    const { read: other } = rig({
      "/etc/passwd": [fails(() => failed(500, "evalSymlinksInScope: too many links in /x"))],
      "/etc/group": [() => archive({ type: "directory" })],
    });
    expect(await other("a")).to.deep.equal({ passwd: "", group: "" });
    const { read: old } = rig({ "/etc/passwd": [() => archive({ type: "symlink" })] });
    expect(await old("a")).to.deep.equal({ passwd: "", group: "" });
  });

  it("are read again when the container was pruned, which never counts as having no file", async () => {
    const { read, calls } = rig({
      "/etc/passwd": [fails(gone), text("p")],
      "/etc/group": [fails(() => failed(500, "RWLayer is unexpectedly nil")), text("g")],
    });
    expect(await read("a")).to.deep.equal({ passwd: "p", group: "g" });
    expect(calls.filter((call) => call.startsWith("create"))).to.have.length(3);
  });

  it("are read again when a file seems missing of a container that somebody else removes", async () => {
    const removing = (path: string) => () => Object.assign(missing(path), { removing: true });
    const { read, calls } = rig({
      "/etc/passwd": [fails(removing("/etc/passwd")), text("p")],
      "/etc/group": [text("g")],
    });
    expect(await read("a")).to.deep.equal({ passwd: "p", group: "g" });
    expect(calls.filter((call) => call.startsWith("create"))).to.have.length(2);
  });

  it("are not kept after a look that failed", async () => {
    const trouble = (): EngineError => failed(500, "disk on fire");
    const { read, calls } = rig({ "/etc/passwd": [fails(trouble), text("p")] });
    expect(await failureOf(read("a"))).to.include("disk on fire");
    expect(calls.at(-1)).to.equal("remove abc");
    expect(await read("a")).to.deep.equal({ passwd: "p", group: "" });
    const { read: never, calls: tries } = rig({ "/etc/passwd": [fails(gone)] });
    expect(await failureOf(never("a"))).to.include("No such container");
    expect(tries.filter((call) => call.startsWith("create"))).to.have.length(5);
  });

  it("are there also when the container cannot be removed", async () => {
    const { read, engine } = rig({ "/etc/passwd": [text("p")] });
    engine.removeContainer = () => Promise.reject(failed(500, "removal already in progress"));
    expect(await read("a")).to.deep.equal({ passwd: "p", group: "" });
  });

  it("leave what is read now alone when left-overs are removed, and never throw then", async () => {
    const { engine, read } = rig({ "/etc/passwd": [text("p")] });
    let own = "";
    const create = engine.createContainer.bind(engine);
    engine.createContainer = (name, body) => {
      own = name;
      return create(name, body);
    };
    await read("a");
    const removed: string[] = [];
    const summaries = [`/${own}`, "/dockline-scratch-0011", "/dockline-scratch-0022"].map(
      (name, at) => ({ Id: String(at), Names: [name] }) as ContainerSummary,
    );
    await sweepScratch(
      {
        listContainers: () => Promise.resolve(summaries),
        removeContainer: (id) => {
          removed.push(id);
          return id === "1" ? Promise.reject(failed(409, "in progress")) : Promise.resolve();
        },
      },
      silentLogger,
    );
    expect(removed).to.deep.equal(["1", "2"]);
    await sweepScratch(
      {
        listContainers: () => Promise.reject(failed(500, "x")),
        removeContainer: () => Promise.resolve(),
      },
      silentLogger,
    );
  });
});
