import { expect } from "chai";
import { ConfigError } from "../../../src/config/errors.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { reload } from "../../../src/daemon/reload.ts";
import { silentLogger } from "../../../src/log.ts";
import type { ProcessLogger } from "../../../src/log.ts";

describe("a SIGHUP", () => {
  const running = loadConfig({ file: { logLevel: "info" } }).config;
  let said: string[];
  let configured: object[];
  let log: ProcessLogger;
  beforeEach(() => {
    said = [];
    configured = [];
    const say = (fields: object, msg: string): void => {
      said.push(`${msg} ${JSON.stringify(fields)}`);
    };
    log = {
      ...silentLogger,
      ...{ info: say, warn: say, error: say, speaks: true, debugs: false },
      configure: (options) => configured.push(options),
      nameBy: () => undefined,
      written: () => Promise.resolve(true),
    };
  });

  it("takes level and form of the log over, and names what needs a restart", () => {
    const file = { logLevel: "debug", logFormat: "text", podCidr: "10.0.0.0/24" };
    reload(running, () => loadConfig({ file }), log);
    expect(configured).to.deep.equal([{ level: "debug", format: "text" }]);
    expect(said.at(-1)).to.match(/need a restart .*\{"options":\["podCidr"\]\}/);
  });

  it("changes nothing by a wrong configuration, and says all that is wrong", () => {
    reload(
      running,
      () => {
        throw new ConfigError(["c.yaml:1: a", "c.yaml:2: b"]);
      },
      log,
    );
    expect(configured).to.deep.equal([]);
    expect(said.at(-1)).to.match(/nothing is changed .*c\.yaml:1: a.*c\.yaml:2: b/);
  });
});
