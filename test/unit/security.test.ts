import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";

const root = join(import.meta.dirname, "..", "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

interface Manifest {
  dependencies: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  scripts: Record<string, string>;
}

interface Lock {
  packages: Record<
    string,
    { dev?: boolean; integrity?: string; hasInstallScript?: boolean; link?: boolean }
  >;
}

describe("what comes from others", () => {
  const manifest = JSON.parse(read("package.json")) as Manifest;
  const { packages } = JSON.parse(read("package-lock.json")) as Lock;

  it("is the packages of this list and no others at run time, each with its exact version", () => {
    expect(Object.keys(manifest.dependencies).sort()).to.deep.equal([
      "@bufbuild/protobuf",
      "@grpc/grpc-js",
      "@opentelemetry/api",
      "@opentelemetry/exporter-trace-otlp-http",
      "@opentelemetry/resources",
      "dockerode",
      "pino",
      "prom-client",
      "tar-stream",
      "ws",
      "yaml",
    ]);
    const all = { ...manifest.dependencies, ...manifest.optionalDependencies };
    for (const [name, version] of Object.entries(all)) {
      expect(version, name).to.match(/^\d+\.\d+\.\d+$/);
    }
  });

  it("is held by its hash and runs nothing when it is installed", () => {
    const others = Object.entries(packages).filter(
      ([path, { link }]) => path !== "" && link !== true,
    );
    expect(others.length).to.be.greaterThan(50);
    expect(others.filter(([, { integrity }]) => integrity === undefined)).to.deep.equal([]);
    expect(read(".npmrc")).to.match(/^ignore-scripts=true$/m);
    expect(
      Object.keys(manifest.scripts).filter((name) => /^(pre|post)?install|^prepare$/.test(name)),
    ).to.deep.equal([]);
  });

  it("has @grpc/grpc-js at or above the version without known crashes", () => {
    const [major = 0, minor = 0, patch = 0] = (manifest.dependencies["@grpc/grpc-js"] ?? "")
      .split(".")
      .map(Number);
    expect(major * 1e6 + minor * 1e3 + patch).to.be.at.least(1_014_004);
  });
});

describe("what Dockline starts", () => {
  const source = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).filter(
    (file) => file.endsWith(".ts") && !file.startsWith("gen/"),
  );

  it("is never a shell", () => {
    const shells = source.filter((file) =>
      /shell:\s*true|["']\/bin\/(ba)?sh["']|["']sh["'], ?\[/.test(read(join("src", file))),
    );
    expect(shells).to.deep.equal([]);
  });

  it("is started in one file, with an environment of its own", () => {
    const forks = source.filter((file) =>
      /import \{[^}]*\} from "node:child_process"/.test(
        read(join("src", file)).replaceAll(/import type [^;]*;/g, ""),
      ),
    );
    expect(forks).to.deep.equal(["sys/process.ts"]);
    expect(read("src/sys/process.ts")).to.not.match(/\.\.\.process\.env/);
  });
});

describe("the systemd unit", () => {
  const unit = read("deploy/systemd/dockline.service");

  for (const line of [
    "NoNewPrivileges=yes",
    "KillMode=process",
    "LimitCORE=0",
    "OOMScoreAdjust=-999",
    "StateDirectoryMode=0700",
    "SystemCallArchitectures=native",
    "LockPersonality=yes",
    "RestrictRealtime=yes",
  ]) {
    it(`says ${line}`, () => {
      expect(unit.split("\n")).to.include(line);
    });
  }
});
