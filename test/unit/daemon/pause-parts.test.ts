import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { expect } from "chai";
import { dockersCredentials } from "../../../src/daemon/pause-parts.ts";
import { createCredentialFile, firstWithCredentials } from "../../../src/images/credential-file.ts";
import type { FoundCredentials } from "../../../src/images/credential-file.ts";
import { credentialsIn } from "../../../src/convert/docker-config.ts";
import { silentLogger } from "../../../src/log.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const files = [
  "root/config.json",
  "home/.docker/config.json",
  "root/.docker/config.json",
  "home/.dockercfg",
  "root/.dockercfg",
] as const;

/** cri-dockerd's own look for the pause image's credentials. */
describe("credentials for the pause image in Docker's files", () => {
  let folder: ReturnType<typeof tempFolder>;
  const write = (name: string, username: string, registry = "r.example"): void => {
    const auths = { [`https://${registry}/v2/`]: { username, password: "canary-1" } };
    const text = JSON.stringify(name.endsWith(".json") ? { auths, credsStore: "pass" } : auths);
    writeFileSync(folder.path(name), text, { mode: 0o600 });
  };
  const ask = (own = ""): Promise<FoundCredentials> =>
    firstWithCredentials([
      createCredentialFile({ path: own, parse: credentialsIn, log: silentLogger }),
      ...dockersCredentials(silentLogger, folder.path("home"), folder.path("root")),
    ])("r.example/pause");

  beforeEach(() => {
    folder = tempFolder();
    for (const name of ["root/.docker", "home/.docker"])
      mkdirSync(folder.path(name), { recursive: true });
  });
  afterEach(() => {
    folder.remove();
  });

  it("are found in each place, the earlier first", async () => {
    for (const name of [...files].reverse()) {
      write(name, name);
      expect((await ask()).auth, name).to.deep.equal({ username: name, password: "canary-1" });
    }
  });

  it("come after those of the node's own file", async () => {
    write(files[1], "docker");
    write("own.json", "own");
    expect((await ask(folder.path("own.json"))).auth?.username).to.equal("own");
    write("own.json", "own", "other.example");
    expect((await ask(folder.path("own.json"))).auth?.username).to.equal("docker");
  });

  it("may be readable by others, but not writable", async () => {
    write(files[1], "docker");
    chmodSync(folder.path(files[1]), 0o644);
    expect((await ask()).auth?.username).to.equal("docker");
    chmodSync(folder.path(files[1]), 0o664);
    const { auth, problem } = await ask();
    expect(auth).to.equal(undefined);
    expect(problem)
      .to.match(/writable by others/)
      .and.not.include("canary");
  });

  it("are no problem when no file is there, and one when a file is left to a program", async () => {
    expect(await ask()).to.deep.equal({ auth: undefined, problem: undefined });
    write(files[1], "docker", "other.example");
    expect((await ask()).problem).to.match(/left to a credential program/);
  });
});
