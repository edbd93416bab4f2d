import { mkdirSync, writeFileSync } from "node:fs";
import { expect } from "chai";
import { flagName, loadConfig } from "../../../src/config/load.ts";
import type { ConfigError } from "../../../src/config/errors.ts";
import { options } from "../../../src/config/options.ts";
import type { Config, Option, OptionKey } from "../../../src/config/options.ts";
import { optionChecks, optionsTogether } from "../../../src/daemon/option-checks.ts";
import { loadAll } from "../../../src/daemon/serve.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const table: Record<OptionKey, Option> = options;
const load = (flags: Record<string, string>): Config =>
  loadConfig({ flags }, optionChecks, optionsTogether).config;

function problems(work: () => unknown): readonly string[] {
  try {
    work();
    return [];
  } catch (error) {
    return (error as ConfigError).problems;
  }
}

const wrong: readonly [flag: string, value: string, words: RegExp][] = [
  ["container-runtime-endpoint", "tcp://1.2.3.4:1", /want unix:\/\/\/absolute\/path or fd:\/\//],
  ["container-runtime-endpoint", `unix:///${"x".repeat(110)}`, /111 bytes, the kernel takes 107/],
  ["docker-endpoint", "tcp://1.2.3.4", /only unix:\/\/ sockets/],
  ["docker-endpoint", "unix://docker.sock", /absolute path is missing/],
  ["facade-endpoint", "containerd.sock", /want unix:\/\/\//],
  ["runtime-request-timeout", "5ms", /at least 1s/],
  ["state-dir", "", /absolute path/],
  ["run-dir", "run", /absolute path/],
  ["cni-conf-dir", "", /absolute path/],
  ["cni-conf-dir", "relative/path", /absolute path/],
  ["cni-bin-dir", "", /at least one directory/],
  ["cni-bin-dir", "/a,b", /absolute path/],
  ["cni-cache-dir", "cache", /absolute path/],
  ["pod-cidr", "nonsense", /not a range such as 10\.244\.1\.0\/24/],
  ["pod-infra-container-image", "Not An Image", /image reference/],
  ["pinned-images", "registry.example/*/a", /registry\.example\/\*\/a/],
  ["pinned-images", "two words*", /two words/],
  ["registry-mirrors", "foo", /want registry=mirror/],
  ["registry-mirrors", "docker.io=m.example", /daemon\.json/],
  ["registry-auth-file", "auth.json", /absolute path/],
  ["container-log-max-size", "banana", /size above 0/],
  ["container-log-max-size", "0", /size above 0/],
  ["container-log-max-size", "16x", /size above 0/],
  ["container-log-max-files", "0", /at least 1/],
  ["streaming-bind-addr", "nonsense", /is not host:port/],
  ["streaming-bind-addr", "0.0.0.0:0", /--streaming-tls-cert.*--streaming-insecure/],
  ["streaming-tls-cert", "/nope", /missing beside --streaming-tls-cert/],
  ["metrics-bind-addr", "9357", /127\.0\.0\.1:port/],
  ["metrics-bind-addr", "0.0.0.0:9357", /no authentication/],
  ["metrics-tls-key", "key.pem", /absolute path/],
  ["trace-file", "trace", /absolute path/],
  ["otel-endpoint", "127.0.0.1:4318", /http:\/\/host:4318/],
  ["otel-sampling-per-million", "1000001", /at most 1000000/],
  ["nri-listen", "nri.sock", /absolute path/],
  ["nri-listen", `/${"n".repeat(120)}`, /107/],
  ["nri-plugin-dir", "plugins", /absolute path/],
  ["nri-plugin-request-timeout", "10ms", /at least 100ms/],
];
const right: Record<string, string[]> = {
  "container-runtime-endpoint": ["fd://", "/run/x.sock"],
  "facade-endpoint": ["auto", "", "unix:///x"],
  "container-log-max-size": ["16m", "16MiB", "5 GB", "1.5g", "1000"],
  "streaming-bind-addr": ["127.0.0.1:0", "[::1]:10010", "localhost:0"],
  "metrics-bind-addr": ["", "127.0.0.1:9357", "[::1]:1", "unix:///run/m.sock"],
  "pinned-images": ["*", "busybox", "registry.example/base/*,k8s.gcr.io/pause:3"],
  "pod-cidr": ["", "10.0.0.0/24,fd00::/64"],
  // Go reads them so, too.
  "drain-timeout": ["1h1h", "0"],
  "nri-listen": ["/run/nri.sock"],
  "nri-plugin-request-timeout": ["100ms", "1m"],
};

describe("the checks of the options' values", () => {
  for (const [flag, value, words] of wrong) {
    it(`refuse --${flag}=${value.slice(0, 40)}`, () => {
      const [problem, ...more] = problems(() => load({ [flag]: value }));
      expect(more).to.deep.equal([]);
      expect(problem)
        .to.match(words)
        .and.match(/ \(example: --/);
    });
  }

  for (const [flag, values] of Object.entries(right)) {
    it(`take --${flag} as ${values.join(" and ")}`, () => {
      for (const value of values) expect(problems(() => load({ [flag]: value }))).to.deep.equal([]);
    });
  }

  it("take every default, and every example alone", () => {
    expect(problems(() => load({}))).to.deep.equal([]);
    const pair = (key: OptionKey): boolean => /^(streamingTls|metricsTls|metricsClient)/.test(key);
    for (const key of Object.keys(table) as OptionKey[]) {
      const { example } = table[key];
      if (example === undefined || pair(key)) continue;
      expect(
        problems(() => load({ [flagName(key)]: example })),
        key,
      ).to.deep.equal([]);
    }
  });

  it("know every option of text or numbers, so that none is forgotten", () => {
    const unchecked = (Object.keys(table) as OptionKey[]).filter((key) => {
      const { type, choices } = table[key];
      return type !== "boolean" && choices === undefined && optionChecks[key] === undefined;
    });
    // Any duration is right for two of them, load.ts looks at the paths, and any name is a plugin's or an annotation's.
    expect(unchecked).to.have.members([
      ...["drainTimeout", "imagePullProgressDeadline", "absentMountSourcesToReject"],
      ...["nriValidatorRequiredPlugins", "nriValidatorTolerateMissingPluginsAnnotation"],
    ]);
  });

  it("refuse a socket that two services would listen on", () => {
    const both = { "metrics-bind-addr": "unix:///x.sock", "facade-endpoint": "unix:///x.sock" };
    expect(problems(() => load(both)).join()).to.match(/\/x\.sock is the socket of facadeEndpoint/);
    const docker = { "container-runtime-endpoint": "unix:///var/run/docker.sock" };
    expect(problems(() => load(docker)).join()).to.include("is the socket of dockerEndpoint");
  });
});

describe("the configuration as serve reads it", () => {
  const folder = tempFolder();
  after(() => folder.remove());

  it("tells what is wrong with command line, file, values and certificate at once", () => {
    mkdirSync(folder.path("tls"));
    const file = folder.path("c.yaml");
    writeFileSync(
      file,
      "podCidr: nonsense\nregistryMirrors: [foo]\ncontainerLogMaxSize: banana\n" +
        "dockerEndpoint: tcp://1.2.3.4\ncontainerLogMaxFiles: 0\ncniConfDir: relative/path\n",
    );
    const found = problems(() => loadAll(["--config", file, "--nonsense"], {}));
    expect(found.map((text) => text.replace(/: .*/s, ""))).to.have.members([
      "unknown flag --nonsense",
      ...[1, 2, 3, 4, 5, 6].map((line) => `${file}:${line}`),
    ]);
  });

  it("names a certificate that cannot be read, or is none", () => {
    const cert = folder.path("cert");
    const tls = ["--streaming-tls-cert", cert, "--streaming-tls-key", cert, "--config="];
    const [first] = problems(() => loadAll(tls, {}));
    expect(first).to.match(/^--streaming-tls-cert: streaming certificate: open .*: no such file/);
    writeFileSync(cert, "nonsense");
    expect(problems(() => loadAll(tls, {})).join()).to.match(/no pair in PEM/);
  });

  it("is reported with a file that is not there", () => {
    const found = problems(() => loadAll(["--config=/nope.yaml", "--pod-cidr=x"], {}));
    expect(found).to.have.length(2);
    expect(found[0]).to.equal("/nope.yaml: open /nope.yaml: no such file or directory");
  });
});
