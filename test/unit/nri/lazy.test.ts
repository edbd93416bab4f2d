import { expect } from "chai";
import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const source = join(import.meta.dirname, "..", "..", "..", "src");

/** Files that are loaded when `entry` is, those of `import()` and of types left out. */
function loadedWith(entry: string): Set<string> {
  const loaded = new Set<string>();
  const load = (file: string): void => {
    if (loaded.has(file)) return;
    loaded.add(file);
    const text = readFileSync(join(source, file), "utf8");
    const values = text.replaceAll(/(?:import|export) type [^;]*? from "[^"]+";/g, "");
    for (const [, statement = "", target = ""] of values.matchAll(
      /(?:^|\n)(?:import|export)\b([^;]*?)from "(\.[^"]+)";/g,
    )) {
      const names = /\{([^}]*)\}/.exec(statement)?.[1]?.split(",") ?? ["all"];
      const used = names.filter((name) => name.trim() !== "" && !name.trim().startsWith("type "));
      if (used.length > 0) load(relative(source, join(source, dirname(file), target)));
    }
  };
  load(entry);
  return loaded;
}

describe("NRI while no plugin is there", () => {
  it("is a socket and a look into a folder: neither the protocol nor its messages are loaded", () => {
    const loaded = [...loadedWith("daemon/daemon.ts")];
    expect(loaded).to.include("hooks/gate.ts");
    expect(loaded.filter((file) => file.startsWith("gen/nri"))).to.deep.equal([]);
    expect(loaded.filter((file) => file.startsWith("nri/")).sort()).to.deep.equal([
      "nri/discovery.ts",
      "nri/door.ts",
    ]);
    expect([...loadedWith("hooks/live.ts")]).to.include("gen/nri/v1alpha1/api_pb.js");
  });
});
