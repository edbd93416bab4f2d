import { readFileSync, writeFileSync } from "node:fs";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import { KeptEngine } from "../../../src/state/kept-engine.ts";
import { tempFolder } from "../../support/temp-folder.ts";

describe("what the engine said of itself", () => {
  let folder: ReturnType<typeof tempFolder>;
  beforeEach(() => (folder = tempFolder()));
  afterEach(() => folder.remove());
  const words = { version: "29.1.0", apiVersion: "1.52", cgroupDriver: "systemd" };
  const open = (log = silentLogger): Promise<KeptEngine> => KeptEngine.open(folder.path(""), log);

  it("is known to the next process, unless the file is damaged", async () => {
    await (await open()).keep(words);
    expect((await open()).current).to.deep.equal(words);
    for (const text of ["{", "null", '{"v":0}', JSON.stringify({ v: 1, ...words, version: "" })]) {
      writeFileSync(folder.path("engine.json"), text);
      const kept = await open();
      expect(kept.current, text).to.equal(undefined);
      await kept.keep(words);
      expect((await open()).current, text).to.deep.equal(words);
    }
  });

  it("is not written over a newer version's file, which is said once", async () => {
    const path = folder.path("engine.json");
    const text = JSON.stringify({ v: 2, ...words });
    writeFileSync(path, text);
    const said: string[] = [];
    const warn = (about: object): void => void said.push(JSON.stringify(about));
    const kept = await open({ ...silentLogger, warn });
    await kept.keep(words);
    await kept.keep({ ...words, version: "29.2.0" });
    expect(kept.current?.version).to.equal("29.2.0");
    expect(readFileSync(path, "utf8")).to.equal(text);
    expect(said).to.have.length(1);
    expect(said[0]).to.include("newer version");
  });
});
