import { expect } from "chai";
import { readManifest } from "../../../src/cli/manifest.ts";

const manifest = (spec: object, container: object = {}): string =>
  JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p" },
    spec: { containers: [{ name: "c", image: "i", ...container }], ...spec },
  });

describe("a manifest for dockline play", () => {
  it("is refused with the name of each field that play cannot do", () => {
    const text = manifest(
      { tolerations: [{ operator: "Exists" }], hostAliases: [] },
      { livenessProbe: { exec: { command: ["true"] } }, securtyContext: {} },
    );
    for (const name of [
      "spec.tolerations",
      "spec.hostAliases",
      "spec.containers[0].livenessProbe",
      "spec.containers[0].securtyContext",
    ]) {
      expect(() => readManifest(text), name).to.throw(name);
    }
    expect(() => readManifest(manifest({}).replace("Pod", "Deployment"))).to.throw("kind: Pod");
  });

  it("keeps what is the kubelet's to itself", () => {
    const spec = { restartPolicy: "Always", terminationGracePeriodSeconds: 5, nodeName: "n" };
    expect(readManifest(manifest(spec)).name).to.equal("p");
  });
});
