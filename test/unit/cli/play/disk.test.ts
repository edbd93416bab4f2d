import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { expect } from "chai";
import { playDisk } from "../../../../src/cli/play/disk.ts";
import { followLog } from "../../../../src/cli/play/logs.ts";
import { readManifest } from "../../../../src/cli/play/manifest.ts";
import type { PlannedPod } from "../../../../src/cli/play/plan.ts";
import { tempFolder } from "../../../support/temp-folder.ts";
import { until } from "../../../support/until.ts";

describe("the disk of played pods", () => {
  let folder: ReturnType<typeof tempFolder>;
  beforeEach(() => (folder = tempFolder()));
  afterEach(() => folder.remove());

  const plan = (spec: object): PlannedPod => {
    const documents = [
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "p" },
        spec: { containers: [{ name: "c", image: "i:1" }], ...spec },
      },
      { apiVersion: "v1", kind: "Secret", metadata: { name: "s" }, stringData: { key: "hidden" } },
    ];
    const text = documents.map((document) => JSON.stringify(document)).join("\n---\n");
    const places = { volumes: folder.path("volumes"), logs: folder.path("logs") };
    const [pod] = readManifest([{ name: "f", text }], places).pods;
    if (pod === undefined) throw new Error("no pod");
    return pod;
  };
  const modeOf = (path: string): number => statSync(path).mode & 0o7777;

  it("has an emptyDir for every user, files with their mode, and is nobody else's to read", async () => {
    const pod = plan({
      volumes: [
        { name: "empty", emptyDir: {} },
        { name: "secret", secret: { secretName: "s", defaultMode: 0o440 } },
      ],
      hostAliases: [{ ip: "10.0.0.1", hostnames: ["a", "b"] }],
    });
    const disk = playDisk(folder.path("volumes"));
    await disk.make(pod);
    await disk.writeHosts(pod, "10.1.2.3");
    const own = folder.path(`volumes/${pod.uid}`);
    expect(modeOf(folder.path("volumes"))).to.equal(0o700);
    expect(modeOf(`${own}/empty`)).to.equal(0o777);
    expect(readFileSync(`${own}/secret/key`, "utf8")).to.equal("hidden");
    expect(modeOf(`${own}/secret/key`)).to.equal(0o440);
    expect(readFileSync(`${own}/etc.hosts`, "utf8")).to.match(
      /10\.1\.2\.3\tp\n10\.0\.0\.1\ta\tb\n$/,
    );
    expect(pod.containers[0]?.config.mounts).to.deep.include({
      hostPath: `${own}/etc.hosts`,
      containerPath: "/etc/hosts",
    });
    expect(statSync(pod.logDirectory).isDirectory()).to.equal(true);
    expect(await disk.isTakenDown(pod)).to.equal(false);
    await disk.markDown(pod);
    expect(await disk.isTakenDown(pod)).to.equal(true);
    await disk.clearMark(pod);
    expect(await disk.isTakenDown(pod)).to.equal(false);
    await disk.remove(pod);
    expect(await disk.isTakenDown(pod)).to.equal(true);
    expect(() => statSync(pod.logDirectory)).to.throw("ENOENT");
  });

  it("makes host paths that are to be made, and names one of another type", async () => {
    const volume = (name: string, type: string): object => ({
      volumes: [{ name: "v", hostPath: { path: folder.path(name), type } }],
    });
    const disk = playDisk(folder.path("volumes"));
    const make = (name: string, type: string): Promise<string> =>
      disk.make(plan(volume(name, type))).then(
        () => "made",
        (error: unknown) => (error as Error).message,
      );
    expect(await make("new/folder", "DirectoryOrCreate")).to.equal("made");
    expect(await make("new/file", "FileOrCreate")).to.equal("made");
    expect(await make("new/file", "File")).to.equal("made");
    expect(await make("new/none", "Directory")).to.contain("is not there");
    expect(await make("new/file", "Directory")).to.contain("is no Directory");
    expect(await make("new/folder", "Socket")).to.contain("is no Socket");
  });

  it("shows a log as it grows, with long lines and letters in one piece", async () => {
    const path = folder.path("log/0.log");
    const lines: string[] = [];
    const stop = new AbortController();
    const followed = followLog(path, "c", (text) => void lines.push(text), stop.signal);
    mkdirSync(folder.path("log"));
    const letters = Buffer.from("T stdout F grün\n");
    writeFileSync(path, Buffer.concat([Buffer.from("T stdout P one \n"), letters.subarray(0, 14)]));
    await new Promise((resolve) => setImmediate(resolve));
    writeFileSync(path, letters.subarray(14), { flag: "a" });
    writeFileSync(path, "T stderr P left", { flag: "a" });
    await until(() => lines.length === 1);
    writeFileSync(path, " over\n", { flag: "a" });
    stop.abort();
    await followed;
    expect(lines).to.deep.equal(["c | one grün", "c | left over"]);
  });
});
