import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { expectError } from "../support/containers.ts";
import { startOciNode } from "../support/oci-node.ts";
import type { OciNode } from "../support/oci-node.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removeAllPods,
  runPod,
  shell,
  startContainer,
} from "../support/pods.ts";
import type { ContainerInit } from "../support/pods.ts";
import { tempFolder } from "../support/temp-folder.ts";

// Docker has CDI from 25 on; its configuration decides whether it is on (from 28.2 on it is by itself) and where it looks.

const dockerd = process.env["DOCKLINE_TEST_DOCKERD"];

const usual = "/var/run/cdi";
/** The folder is the machine's: another lane may have its device there, and of two of one name Docker gives none. */
const mine = `usual${process.pid}`;
const config = (name: string): ContainerInit =>
  containerConfig("sleep 1000", { CDIDevices: [{ name: `dockline.test/switch=${name}` }] });

function writeDevice(folder: string, name: string): string {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `dockline-test-${name}-${process.pid}.json`);
  writeFileSync(
    file,
    JSON.stringify({
      cdiVersion: "0.6.0",
      kind: "dockline.test/switch",
      devices: [{ name, containerEdits: { env: [`CDI_T=${name}`] } }],
    }),
  );
  return file;
}

describe("CDI devices", function () {
  this.timeout(120_000);
  /** The major number of its version. */
  let release = 0;
  const on = (): object => (release >= 28 ? {} : { features: { cdi: true } });
  const temp = tempFolder();
  let oci: OciNode | undefined;
  let file: string | undefined;

  before(function () {
    // Docker 20.10 knows none of these settings.
    if (dockerd === undefined) this.skip();
    const said = execFileSync(dockerd, ["--version"], { encoding: "utf8" });
    release = Number(/version (\d+)/.exec(said)?.[1]);
    file = writeDevice(usual, mine);
  });
  afterEach(async () => {
    if (oci === undefined) return;
    await removeAllPods(oci.node);
    await oci.close();
    oci = undefined;
  });
  after(() => {
    if (file !== undefined) rmSync(file, { force: true });
    temp.remove();
  });

  const start = async (
    runtimes: Record<string, string[]>,
    daemon: object,
    name: string,
  ): Promise<{ value: string; runtime: string }> => {
    oci ??= await startOciNode(runtimes, { engine: { daemon } });
    const { node } = oci;
    const pod = await runPod(node, hostSandboxConfig(node));
    const id = await startContainer(node, pod, config(name));
    return {
      value: await shell(node, id, "echo $CDI_T"),
      runtime: (await node.docker.inspectContainer(id)).HostConfig.Runtime ?? "",
    };
  };

  /** On the engine that `start` began. */
  const startAnnotated = async (name: string): Promise<string> => {
    const { node } = oci!;
    const pod = await runPod(node, hostSandboxConfig(node));
    const annotations = { "cdi.k8s.io/test_0": `dockline.test/switch=${name}` };
    const id = await startContainer(node, pod, containerConfig("sleep 1000", { annotations }));
    return await shell(node, id, "echo $CDI_T");
  };

  it("are given by Docker where it has CDI on, also those that annotations name", async function () {
    if (release < 25) this.skip();
    expect(await start({ dockline: [] }, on(), mine)).to.deep.equal({
      value: mine,
      runtime: "runc",
    });
    expect(await startAnnotated(mine)).to.equal(mine);
  });

  it("are given by dockline-oci where Docker has CDI off, also those that annotations name", async () => {
    expect(await start({ dockline: [] }, { features: { cdi: false } }, mine)).to.deep.equal({
      value: mine,
      runtime: "dockline",
    });
    expect(await startAnnotated(mine)).to.equal(mine);
  });

  it("are refused with the cure where neither can", async function () {
    if (release < 25) this.skip();
    oci = await startOciNode({}, { engine: { daemon: { features: { cdi: false } } } });
    const { node } = oci;
    const pod = await runPod(node, hostSandboxConfig(node));
    await expectError(
      createContainer(node, pod, config(mine)),
      "UNIMPLEMENTED",
      /CDI is switched off in Docker: set "features": \{"cdi": true\}.*dockline install-runtime/,
    );
  });

  it("are found in Docker's own folders, and by dockline-oci in the usual ones as well", async function () {
    if (release < 25) this.skip();
    const own = temp.path("cdi");
    writeDevice(own, "own");
    const daemon = { "cdi-spec-dirs": [own], ...on() };
    expect(await start({ dockline: [] }, daemon, "own")).to.deep.equal({
      value: "own",
      runtime: "runc",
    });
    await removeAllPods(oci!.node);
    expect(await start({ dockline: [] }, daemon, mine)).to.deep.equal({
      value: mine,
      runtime: "dockline",
    });
  });
});
