import { writeFileSync } from "node:fs";
import { expect } from "chai";
import { play } from "../../../../src/cli/play/play.ts";
import { tempFolder } from "../../../support/temp-folder.ts";

/** What a command writes to the standard error, and its exit code. */
async function ended(args: string[]): Promise<{ code: number; stderr: string }> {
  const write = process.stderr.write.bind(process.stderr);
  let stderr = "";
  process.stderr.write = (text) => {
    stderr += String(text);
    return true;
  };
  try {
    return { code: await play(args), stderr };
  } finally {
    process.stderr.write = write;
  }
}

describe("dockline play's command line", () => {
  let folder: ReturnType<typeof tempFolder>;
  let file = "";
  before(() => {
    folder = tempFolder();
    file = folder.path("pod.yaml");
    writeFileSync(
      file,
      "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n" +
        "spec:\n  tolerations: []\n  containers: [{name: c, image: 'i:1'}]\n",
    );
  });
  after(() => folder.remove());

  const wrong = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await ended(args);
    expect(code, args.join(" ")).to.equal(2);
    return stderr;
  };

  it("ends with 2 and one line when it is wrong, or when the manifest is", async () => {
    expect(await wrong()).to.contain("no file is given");
    expect(await wrong(file, "--detatch")).to.contain(
      "unknown option --detatch; did you mean --detach?",
    );
    expect(await wrong(file, "--down", "--replace")).to.contain("--down goes without");
    expect(await wrong(file, "--log-dir", "logs")).to.contain("want an absolute path");
    expect(await wrong(folder.path("none"))).to.contain("no such file or directory");
  });

  it("refuses with --strict what it passes over otherwise", async () => {
    const place = `passed over: ${file}:5: spec.tolerations`;
    const stderr = await wrong(file, "--strict");
    expect(stderr).to.contain(place).and.to.contain("because of --strict");
    const lenient = await ended([file, "--endpoint", folder.path("none.sock")]);
    expect(lenient.stderr).to.contain(place);
    expect(lenient.code).to.equal(1);
  });

  it("says where no server answers, and nothing of gRPC", async () => {
    const socket = folder.path("none.sock");
    for (const args of [[file], [file, "--down"]]) {
      const { code, stderr } = await ended([...args, "--endpoint", socket]);
      expect(code).to.equal(1);
      expect(stderr).to.contain(`no server answers at ${socket} (connect ${socket}: no such file`);
      expect(stderr).to.not.match(/UNAVAILABLE|Resolution note/);
    }
  });
});
