import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import { parsePodCidr } from "../../../src/network/attachment.ts";
import { PodCidrFile } from "../../../src/state/pod-cidr.ts";
import { tempFolder } from "../../support/temp-folder.ts";

describe("the pod CIDR", () => {
  let temporary: ReturnType<typeof tempFolder>;
  let stateDir: string;
  let path: string;

  beforeEach(() => {
    temporary = tempFolder();
    stateDir = temporary.path("state");
    mkdirSync(stateDir);
    path = join(stateDir, "pod-cidr.json");
  });
  afterEach(() => {
    temporary.remove();
  });

  const open = (option = ""): Promise<PodCidrFile> =>
    PodCidrFile.open(stateDir, option, parsePodCidr, silentLogger);

  it("is the option's until the kubelet names one, which then is kept", async () => {
    expect((await open()).current).to.equal("");
    const first = await open("10.1.0.0/24");
    expect(first.current).to.equal("10.1.0.0/24");
    await first.save("10.2.0.0/24,fd00:2::/64");
    expect((await open("10.1.0.0/24")).current).to.equal("10.2.0.0/24,fd00:2::/64");
    expect(statSync(path).mode & 0o777).to.equal(0o600);
  });

  it("is the option's again when the operator has changed it since", async () => {
    await (await open("10.1.0.0/24")).save("10.2.0.0/24");
    const changed = await open("10.3.0.0/24");
    expect(changed.current).to.equal("10.3.0.0/24");
    expect((await open()).current).to.equal("");
    await changed.save("10.2.0.0/24");
    expect((await open("10.3.0.0/24")).current).to.equal("10.2.0.0/24");
  });

  it("is the last one of several that come at once", async () => {
    const file = await open();
    await Promise.all(["10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24"].map((one) => file.save(one)));
    expect((await open()).current).to.equal("10.3.0.0/24");
  });

  it("never keeps Dockline from starting, whatever the file has become", async () => {
    for (const text of [
      "",
      "{",
      "null",
      "[]",
      "\0\0\0",
      '{"v":0,"podCidr":"10.1.0.0/24","option":""}',
      '{"v":1,"podCidr":7,"option":""}',
      '{"v":1,"podCidr":"","option":""}',
      '{"v":1,"podCidr":"10.1.0.0/64","option":""}',
      JSON.stringify({ v: 1, podCidr: "10.1.0.0/24".repeat(1000), option: "" }),
    ]) {
      writeFileSync(path, text);
      const file = await open("10.9.0.0/24");
      expect(file.current, text.slice(0, 60)).to.equal("10.9.0.0/24");
      await file.save("10.8.0.0/24");
      expect((await open("10.9.0.0/24")).current).to.equal("10.8.0.0/24");
    }
  });

  it("leaves a newer version's file alone, and says so once", async () => {
    const text = '{"v":2,"podCidrs":["10.1.0.0/24"]}';
    writeFileSync(path, text);
    const said: string[] = [];
    const log = { ...silentLogger, warn: (about: object) => void said.push(JSON.stringify(about)) };
    const file = await PodCidrFile.open(stateDir, "10.9.0.0/24", parsePodCidr, log);
    for (const cidr of ["10.8.0.0/24", "10.7.0.0/24"]) {
      await file.save(cidr);
      expect(file.current).to.equal(cidr);
    }
    expect(readFileSync(path, "utf8")).to.equal(text);
    expect(said).to.have.length(1);
    expect(said[0]).to.include("newer version");
  });

  it("is reported as not kept when it cannot be written, and can be tried again", async () => {
    mkdirSync(path);
    const file = await open();
    expect(file.current).to.equal("");
    const failure = await file.save("10.1.0.0/24").then(
      () => undefined,
      (error: unknown) => error as Error,
    );
    expect(failure?.message).to.include("directory");
    expect(readdirSync(stateDir)).to.deep.equal(["pod-cidr.json"]);
  });

  it("leaves nothing of a write that a kill interrupted", async () => {
    await (await open()).save("10.1.0.0/24");
    writeFileSync(join(stateDir, ".pod-cidr.json.0123456789ab.tmp"), "half");
    chmodSync(stateDir, 0o700);
    expect((await open()).current).to.equal("10.1.0.0/24");
    expect(readdirSync(stateDir)).to.deep.equal(["pod-cidr.json"]);
    expect(JSON.parse(readFileSync(path, "utf8"))).to.include({ v: 1 });
  });
});
