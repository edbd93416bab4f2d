import { expect } from "chai";
import {
  durationText,
  environmentName,
  flagName,
  loadConfig,
  parseDurationMs,
} from "../../../src/config/load.ts";
import type { ConfigError } from "../../../src/config/errors.ts";
import { options } from "../../../src/config/options.ts";
import type { OptionKey } from "../../../src/config/options.ts";

const flags = (given: Record<string, string>) => loadConfig({ flags: given }).config;

describe("the configuration", () => {
  it("has a valid default for every option, which cannot be changed afterwards", () => {
    const { config, sources } = loadConfig({});
    expect(Object.keys(config)).to.have.members(Object.keys(options));
    expect(new Set(Object.values(sources))).to.deep.equal(new Set(["default"]));
    expect(config.cniBinDir).to.deep.equal(["/opt/cni/bin", "/usr/lib/cni"]);
    expect(config.runtimeRequestTimeout).to.equal(120_000);
    expect(Object.isFrozen(config)).to.equal(true);
  });

  it("takes flags before the environment, the environment before the file", () => {
    const file = { stateDir: "/file", runDir: "/file", podCidr: "10.0.0.0/24" };
    const environment = { DOCKLINE_STATE_DIR: "/environment", DOCKLINE_RUN_DIR: "/environment" };
    const { config, sources } = loadConfig({ file, environment, flags: { "run-dir": "/flag" } });
    expect([config.podCidr, config.stateDir, config.runDir]).to.deep.equal([
      "10.0.0.0/24",
      "/environment",
      "/flag",
    ]);
    expect([sources.podCidr, sources.stateDir, sources.runDir]).to.deep.equal([
      "file",
      "environment",
      "flag",
    ]);
  });

  it("names options by one rule, each differently", () => {
    const keys = Object.keys(options) as OptionKey[];
    expect(flagName("cniBinDir")).to.equal("cni-bin-dir");
    expect(environmentName("cniBinDir")).to.equal("DOCKLINE_CNI_BIN_DIR");
    expect(new Set(keys.map(environmentName)).size).to.equal(keys.length);
  });

  for (const [given, words] of [
    [{ "cni-conf-dri": "/x" }, "did you mean --cni-conf-dir"],
    [{ zzzzzzzzzzzzzz: "x" }, "unknown flag --zzzzzzzzzzzzzz"],
    [{ "network-plugin": "kubenet" }, "kubenet"],
    [{ "network-plugin": "" }, "only cni is supported"],
    [{ "hairpin-mode": "none" }, "hairpinMode"],
    [{ "log-level": "loud" }, "want one of debug, info"],
    [{ "container-log-format": "CRI" }, "want one of cri"],
    [{ "shim-per-container": "yes" }, "want true or false"],
    [{ "container-log-max-files": "-1" }, "want a whole number"],
    [{ "container-log-max-files": "1e3" }, "want a whole number"],
    [{ "container-log-max-files": "9007199254740993" }, "want a whole number"],
    [{ "absent-mount-sources-to-reject": "/a,b" }, "want absolute paths"],
    [{ "drain-timeout": "5" }, "want a duration"],
    [{ "drain-timeout": "-5s" }, "want a duration"],
    [{ "drain-timeout": "5s junk" }, "want a duration"],
    [{ "drain-timeout": "" }, "want a duration"],
  ] as const) {
    it(`refuses ${JSON.stringify(given)} by name`, () => {
      expect(() => flags(given)).to.throw(words);
    });
  }

  it("refuses unknown keys and forms in the file", () => {
    expect(() => loadConfig({ file: { stateDri: "/x" } })).to.throw("did you mean stateDir");
    expect(() => loadConfig({ file: { stateDir: { a: 1 } } })).to.throw("stateDir must be text");
    expect(() => loadConfig({ file: { stateDir: null } })).to.throw("stateDir must be text");
    expect(() => loadConfig({ file: { cniBinDir: ["/a", 1] } })).to.throw("cniBinDir");
  });

  it("says where a wrong value was written", () => {
    const filePath = "/etc/x.yaml";
    const file = (values: Record<string, unknown>) => () => loadConfig({ file: values, filePath });
    expect(file({ stateDri: "/x" })).to.throw('/etc/x.yaml: unknown key "stateDri"');
    expect(file({ stateDir: null })).to.throw("/etc/x.yaml: stateDir must be text");
    expect(file({ logLevel: "loud" })).to.throw("/etc/x.yaml: logLevel=loud: want one of");
    const environment = { DOCKLINE_DRAIN_TIMEOUT: "5" };
    expect(() => loadConfig({ environment })).to.throw("DOCKLINE_DRAIN_TIMEOUT=5: want a duration");
    expect(() => flags({ "log-level": "loud" })).to.throw("--log-level=loud: want one of");
  });

  it("tells everything that is wrong at once, with its line, and an example in the same form", () => {
    const file = { logLevel: "loud", stateDri: "/x", containerLogMaxFiles: -1 };
    const lineOf = (key: string): number | undefined =>
      ({ logLevel: 3, stateDri: 5, containerLogMaxFiles: 8 })[key];
    let problems: readonly string[] = [];
    try {
      loadConfig({
        file,
        filePath: "/c.yaml",
        lineOf,
        environment: { DOCKLINE_DRAIN_TIMEOUT: "5", DOCKLINE_STATE_DRI: "x" },
        flags: { "shim-per-container": "yes", nonsense: "x" },
        problems: ["told before"],
      });
    } catch (error) {
      problems = (error as ConfigError).problems;
    }
    expect(problems).to.deep.equal([
      "told before",
      '/c.yaml:5: unknown key "stateDri"; did you mean stateDir?',
      "unknown variable DOCKLINE_STATE_DRI; did you mean DOCKLINE_STATE_DIR?",
      "unknown flag --nonsense",
      "DOCKLINE_DRAIN_TIMEOUT=5: want a duration such as 90s or 1m30s (example: DOCKLINE_DRAIN_TIMEOUT=5s)",
      "--shim-per-container=yes: want true or false (example: --shim-per-container=false)",
      "/c.yaml:8: containerLogMaxFiles=-1: want a whole number (example: containerLogMaxFiles: 4)",
      "/c.yaml:3: logLevel=loud: want one of debug, info, warn, error, silent (example: logLevel: info)",
    ]);
  });

  it("shows no credentials of a URL in an error", () => {
    const otelEndpoint = (): string => "want another";
    for (const given of ["http://u:hunter2@x:1", "http://x:1/?token=hunter2"]) {
      expect(() => loadConfig({ flags: { "otel-endpoint": given } }, { otelEndpoint }))
        .to.throw(/^--otel-endpoint=http:.*\*\*\*.*: want another/)
        .and.property("message")
        .not.to.include("hunter2");
    }
  });

  it("refuses a mistyped variable, and leaves alone what merely begins like ours", () => {
    const environment = (name: string) => () => loadConfig({ environment: { [name]: "x" } });
    expect(environment("DOCKLINE_STATE_DRI")).to.throw("did you mean DOCKLINE_STATE_DIR?");
    expect(environment("DOCKLINE_PORT")).not.to.throw();
    expect(environment("DOCKLINE_SERVICE_HOST")).not.to.throw();
  });

  it("takes numbers, booleans and lists of the file", () => {
    const file = { containerLogMaxFiles: 7, shimPerContainer: true, cniBinDir: ["/a", "/b"] };
    expect(loadConfig({ file }).config).to.deep.include(file);
  });

  it("accepts what changes nothing here", () => {
    expect(flags({ "ipv6-dual-stack": "true" })).to.deep.equal(flags({}));
  });

  it("reads durations as Go writes them", () => {
    const texts = ["0", "0s", "1500ms", "90s", "1m30s", "1.5h"];
    expect(texts.map((text) => parseDurationMs("--x", text))).to.deep.equal([
      0, 0, 1500, 90_000, 90_000, 5_400_000,
    ]);
    const written = ["0s", "0s", "1500ms", "90s", "90s", "90m"];
    expect(texts.map((text) => durationText(parseDurationMs("--x", text)))).to.deep.equal(written);
  });
});
