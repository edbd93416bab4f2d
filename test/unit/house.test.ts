import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect } from "chai";

const source = join(import.meta.dirname, "..", "..", "src");

/** Files of src/ itself that every folder may use. */
const everywhere = ["errors.ts", "log.ts", "version.ts"];

/**
 * Who may import whom: folder → folders. Types count like values, so that no folder learns of what
 * lies above it. main.ts and the wiring in daemon/ may import everything.
 */
const mayImport: Record<string, readonly string[]> = {
  gen: [],
  sys: [],
  config: [],
  convert: ["gen", "engine/image-types.ts", "engine/types.ts", "sys/mount-table.ts"],
  cri: ["gen", "sys"],
  engine: ["sys"],
  nri: ["gen", "sys", "convert/oci-hooks.ts"],
  network: ["sys", "state/given-up.ts"],
  logs: ["sys", "state/newer-file.ts"],
  stats: ["sys"],
  state: ["sys", "convert/names.ts"],
  streaming: ["sys", "engine"],
  trace: ["sys"],
  images: ["engine", "sys"],
  index: ["convert", "gen", "engine", "sys"],
  facade: ["gen", "cri", "sys"],
  containers: ["convert", "gen", "engine", "index", "images", "logs", "state", "sys"],
  pods: ["containers", "convert", "gen", "engine", "index", "network", "state", "sys"],
  hooks: ["containers", "convert", "engine", "gen", "index", "nri", "pods", "state", "sys"],
  figures: ["gen", "index", "stats", "sys"],
  rpc: [
    "pods",
    "containers",
    "figures",
    "convert",
    "cri",
    "gen",
    "engine",
    "index",
    "network",
    "streaming",
    "logs",
    "stats",
    "images",
    "state",
    "sys",
  ],
  cli: ["cri", "gen", "sys", "trace", "config/load.ts", "config/nearest.ts"],
  admin: ["gen", "engine", "state", "network", "config", "convert", "sys"],
};

/** The one file that may fork, and the folder that alone knows Docker's client library. */
const onlyIn: Record<string, RegExp> = {
  "node:child_process": /^sys\/process\.ts$/,
  dockerode: /^engine\//,
  "@grpc/grpc-js": /^(cri|facade)\//,
  "prom-client": /^daemon\/metrics\//,
  ws: /^streaming\//,
  "@opentelemetry/api": /^trace\//,
  "@opentelemetry/exporter-trace-otlp-http": /^trace\//,
  "@opentelemetry/resources": /^trace\//,
  "tar-stream": /^(images|containers|engine)\//,
};

interface Import {
  file: string;
  target: string;
}

function imports(): Import[] {
  return readdirSync(source, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts"))
    .flatMap((file) => {
      const text = readFileSync(join(source, file), "utf8");
      // Packages' types bind nobody to them; our own folders' types do.
      const counted = text.replaceAll(/import type [^;]*? from "[^."][^"]*";/g, "");
      const targets = counted.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g);
      return [...targets].map((match) => ({ file, target: match[1] ?? "" }));
    });
}

function allowed({ file, target }: Import): boolean {
  if (!target.startsWith(".")) {
    const rule = onlyIn[target];
    return rule === undefined || rule.test(file);
  }
  const path = relative(source, join(source, dirname(file), target));
  const folder = file.split("/")[0] ?? "";
  const targetFolder = path.split("/")[0] ?? "";
  if (!file.includes("/") || folder === "daemon") return true;
  if (folder === targetFolder || everywhere.includes(path)) return true;
  return (mayImport[folder] ?? []).some((entry) => entry === targetFolder || entry === path);
}

describe("the source layout", () => {
  it("has imports in one direction only", () => {
    const broken = imports().filter((found) => !allowed(found));
    expect(broken.map(({ file, target }) => `${file} imports ${target}`)).to.deep.equal([]);
  });

  it("has a rule for every folder", () => {
    const folders = readdirSync(source, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && readdirSync(join(source, entry.name)).length > 0)
      .map((entry) => entry.name);
    expect(folders.filter((folder) => folder !== "daemon" && !(folder in mayImport))).to.deep.equal(
      [],
    );
  });

  it("has a main file in each folder that says what it is for and what may not be in it", () => {
    const page = readFileSync(join(source, "..", "docs", "architecture.md"), "utf8");
    const layout = page.slice(page.indexOf("## Source layout"), page.indexOf("## A pod's life"));
    const without = Object.keys({ ...mayImport, daemon: [] }).filter((folder) => {
      if (folder === "gen") return false;
      const link = new RegExp(
        `\\x60src/${folder}/\\x60\\s\\(\\[[\\w-]+\\.ts\\]\\(\\.\\./(src/[^)]+)\\)`,
      );
      const main = link.exec(layout)?.[1];
      if (main === undefined) return true;
      const text = readFileSync(join(source, "..", main), "utf8");
      const head = new RegExp(
        `^/\\*\\n \\* src/${folder}: [^]+?\\n \\* Not here: [^]+?\\n \\*/\\n`,
      );
      return !head.test(text);
    });
    expect(without).to.deep.equal([]);
  });

  it("has no file that imports itself by way of others", () => {
    const next = new Map<string, string[]>();
    for (const { file, target } of imports()) {
      if (!target.startsWith(".") || file.startsWith("gen/")) continue;
      const path = relative(source, join(source, dirname(file), target));
      next.set(file, [...(next.get(file) ?? []), path]);
    }
    const done = new Set<string>();
    const circles: string[] = [];
    const walk = (file: string, way: readonly string[]): void => {
      if (way.includes(file)) circles.push([...way.slice(way.indexOf(file)), file].join(" → "));
      if (done.has(file)) return;
      done.add(file);
      for (const target of next.get(file) ?? []) walk(target, [...way, file]);
    };
    for (const file of next.keys()) walk(file, []);
    expect(circles).to.deep.equal([]);
  });

  it("has only handlers in rpc/, so that an RPC's name leads to its file", () => {
    // What several handlers share on their way to the wire.
    const shared = ["chunked.ts", "views.ts"];
    const files = readdirSync(join(source, "rpc"));
    const others = files.filter(
      (file) => !/\bHandlers</.test(readFileSync(join(source, "rpc", file), "utf8")),
    );
    expect(others.sort()).to.deep.equal(shared);
    expect(files.length).to.be.at.most(20);
  });

  it("has files that are read at one go: at most 300 lines", () => {
    const long = readdirSync(source, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts") && !file.startsWith("gen/"))
      .map((file) => ({
        file,
        lines: readFileSync(join(source, file), "utf8").split("\n").length - 1,
      }))
      .filter(({ lines }) => lines > 300);
    expect(long).to.deep.equal([]);
  });
});
