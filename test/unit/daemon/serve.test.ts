import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { serve } from "../../../src/daemon/serve.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { until } from "../../support/until.ts";

const program = join(import.meta.dirname, "..", "..", "..", "bin", "dockline");

interface Line {
  level: string;
  msg: string;
  error?: string;
  options?: string[];
  request?: string;
}

describe("a Dockline without an engine", function () {
  this.timeout(60_000);
  const folder = tempFolder();
  after(() => folder.remove());

  it("is for root alone", async () => {
    let said = "";
    const complain = (text: string): void => {
      said += text;
    };
    expect(await serve(["--config="], false, { uid: 1000, complain })).to.equal(1);
    expect(said).to.match(/must run as root \(this is user 1000\)/);
  });

  it("logs from start to stop what is true, and takes over a level by SIGHUP", async function () {
    if (process.getuid?.() !== 0) this.skip();
    mkdirSync(folder.path("cni"));
    const file = folder.path("c.yaml");
    const configure = (more: string): void => {
      const paths = ["stateDir", "runDir", "cniCacheDir"].map(
        (key) => `${key}: ${folder.path(key)}\n`,
      );
      writeFileSync(file, `${paths.join("")}cniConfDir: ${folder.path("cni")}\n${more}`);
    };
    configure("logLevel: info\n");
    const child = spawn(program, [
      ...["serve", "--config", file, "--docker-endpoint", `unix://${folder.path("d.sock")}`],
      ...["--container-runtime-endpoint", `unix://${folder.path("s.sock")}`],
    ]);
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
    const lines = (): Line[] =>
      text
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Line);
    const line = (msg: RegExp): Line | undefined => lines().find((one) => msg.test(one.msg));
    const ended = once(child, "close") as Promise<[number | null]>;
    try {
      await until(() => line(/^the pod network is not ready/) !== undefined, 30_000);
      expect(line(/^the pod network is not ready/)?.error).to.include(folder.path("cni"));
      expect(line(/^serving the CRI$/)).to.not.equal(undefined);
      configure("logLevel: debug\nlogFormat: json\npodCidr: 10.0.0.0/24\n");
      child.kill("SIGHUP");
      await until(() => line(/need a restart/) !== undefined, 30_000);
      expect(line(/need a restart/)?.options).to.deep.equal(["podCidr"]);
      await until(() => line(/^Docker request$/)?.request === "GET /_ping", 30_000);
      configure("logLevel: loud\n");
      child.kill("SIGHUP");
      await until(() => line(/nothing is changed/) !== undefined, 30_000);
    } finally {
      child.kill("SIGTERM");
    }
    expect(await ended).to.deep.equal([0, null]);
    const said = lines().map(({ msg }) => msg);
    expect(said[0]).to.equal("dockline is starting");
    expect(said.slice(-2)).to.deep.equal(["stopping", "stopped"]);
    // Docker has never answered.
    expect(said.filter((msg) => /is up|is ready/.test(msg))).to.deep.equal([]);
  });
});
