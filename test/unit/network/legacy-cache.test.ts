import { expect } from "chai";
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { silentLogger } from "../../../src/log.ts";
import type { GivenUp } from "../../../src/state/given-up.ts";
import { readLegacyCache, writeLegacyCache } from "../../../src/network/legacy-cache.ts";
import { createNetwork } from "../../../src/network/network.ts";
import type { Network } from "../../../src/network/network.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { makeCniFolder } from "../../support/cni-folder.ts";
import type { CniFolder } from "../../support/cni-folder.ts";

const id = process.pid.toString(16).padStart(64, "f");
const saved = {
  cniVersion: "0.4.0",
  name: "old-net",
  plugins: [{ type: "old", capabilities: { portMappings: true } }],
};
const result = {
  cniVersion: "0.4.0",
  ips: [
    { version: "4", address: "10.9.0.5/24" },
    { version: "6", address: "fd09::5/64" },
  ],
};
const portMappings = [{ hostPort: 80, containerPort: 8080, protocol: "tcp", hostIP: "" }];

describe("pods of cri-dockerd", () => {
  let folder: CniFolder;
  let network: Network;
  let alive: boolean;
  let given: GivenUp[];

  beforeEach(() => {
    folder = makeCniFolder();
    alive = true;
    given = [];
    mkdirSync(join(folder.cacheDir, "results"), { recursive: true });
    const record = `printf %s "$config" > ${folder.root}/seen; echo "$CNI_ARGS $CNI_NETNS" > ${folder.root}/args`;
    for (const name of ["old", "today"]) folder.plugin(name, record);
    network = createNetwork({
      confDir: folder.confDir,
      binDirs: [folder.binDir],
      legacyCacheDir: folder.cacheDir,
      givenUp: (one) => Promise.resolve(void given.push(one)),
      log: silentLogger,
      clock: systemClock,
      inspectNetns: (path) => Promise.resolve(alive && path !== "" ? "pod" : "gone"),
    });
  });
  afterEach(() => folder.remove());

  const cache = (network: string, content: unknown): string => {
    const path = join(folder.cacheDir, "results", `${network}-${id}-eth0`);
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    return path;
  };
  const cacheAsLibcni = (): string =>
    cache("old-net", {
      kind: "cniCacheV1",
      containerId: id,
      config: Buffer.from(JSON.stringify(saved)).toString("base64"),
      ifName: "eth0",
      networkName: "old-net",
      cniArgs: [
        ["IgnoreUnknown", "1"],
        ["K8S_POD_NAME", "from-cache"],
      ],
      capabilityArgs: { portMappings },
      result,
    });
  const pod = {
    containerId: id,
    netns: "/proc/7/ns/net",
    podName: "web",
    podNamespace: "shop",
    portMappings: [],
  };
  const seen = (): Record<string, unknown> =>
    JSON.parse(readFileSync(join(folder.root, "seen"), "utf8")) as Record<string, unknown>;
  const today = (): void =>
    folder.write("10-today.conflist", {
      cniVersion: "1.0.0",
      name: "today",
      plugins: [{ type: "today", capabilities: { portMappings: true } }],
    });

  it("keep their addresses", async () => {
    cacheAsLibcni();
    cache("cni-loopback", {
      kind: "cniCacheV1",
      containerId: id,
      result: { ips: [{ address: "127.0.0.1/8" }] },
    });
    expect((await network.legacyAttachment(id)).ips).to.deep.equal(["10.9.0.5", "fd09::5"]);
    expect((await network.legacyAttachment("e".repeat(64))).ips).to.deep.equal([]);
    expect((await network.legacyAttachment("../../etc")).ips).to.deep.equal([]);
  });

  it("keep the pause process that ADD was for, where the namespace is named by it", async () => {
    const pidOf = async (more: object): Promise<number | undefined> => {
      cache("old-net", { kind: "cniCacheV1", containerId: id, result, ...more });
      return (await network.legacyAttachment(id)).pausePid;
    };
    const interfaces = (sandbox: string): object => ({
      result: { ...result, interfaces: [{ name: "cni0" }, { name: "eth0", sandbox }] },
    });
    expect(await pidOf({})).to.equal(undefined);
    expect(await pidOf({ netns: "/proc/4711/ns/net" })).to.equal(4711);
    expect(await pidOf({ netns: "/run/docker/netns/1234" })).to.equal(undefined);
    expect(await pidOf(interfaces("/proc/42/ns/net"))).to.equal(42);
    expect(await pidOf({ ...interfaces("/proc/42/ns/net"), netns: "" })).to.equal(42);
    cache("old-net", { ...result, interfaces: [{ name: "eth0", sandbox: "/proc/9/ns/net" }] });
    expect((await network.legacyAttachment(id)).pausePid).to.equal(9);
  });

  it("are torn down with what was saved, whatever is configured today", async () => {
    today();
    const files = [cacheAsLibcni(), cache("cni-loopback", { kind: "cniCacheV1", containerId: id })];
    await network.tearDownLegacy(pod);
    expect(seen()).to.deep.equal({
      type: "old",
      name: "old-net",
      cniVersion: "0.4.0",
      prevResult: result,
      runtimeConfig: { portMappings },
    });
    expect(readFileSync(join(folder.root, "args"), "utf8")).to.equal(
      "IgnoreUnknown=1;K8S_POD_NAME=from-cache /proc/7/ns/net\n",
    );
    expect(files.filter((path) => existsSync(path))).to.deep.equal([]);
  });

  it("are torn down with today's configuration when nothing, or nothing readable, was saved", async () => {
    today();
    cache("old-net", "{ damaged");
    await network.tearDownLegacy({
      ...pod,
      portMappings: [{ hostPort: 80, containerPort: 8080, protocol: "tcp", hostIp: "" }],
    });
    expect(seen()).to.deep.include({
      type: "today",
      name: "today",
      runtimeConfig: { portMappings },
    });
    expect(seen()).not.to.have.property("prevResult");
    expect(readdirSync(join(folder.cacheDir, "results"))).to.deep.equal([]);
  });

  it("use a bare result of the oldest libcni", async () => {
    today();
    cache("old-net", result);
    expect((await network.legacyAttachment(id)).ips).to.deep.equal(["10.9.0.5", "fd09::5"]);
    await network.tearDownLegacy(pod);
    expect(seen()).to.deep.include({ type: "today", prevResult: result });
  });

  it("without any configuration are an error while their namespace lives, and done when it is gone", async () => {
    const error = await network.tearDownLegacy(pod).then(
      () => undefined,
      (cause: unknown) => cause as Error,
    );
    expect(error?.message)
      .to.include("shop/web")
      .and.include(folder.cacheDir)
      .and.include(folder.confDir);
    alive = false;
    await network.tearDownLegacy(pod);
  });

  it("keep their cache when DEL fails", async () => {
    const path = cacheAsLibcni();
    folder.plugin("old", `echo '{"code":999,"msg":"busy"}'; exit 1`);
    const outcome = await network.tearDownLegacy(pod).then(
      () => "done",
      (cause: unknown) => (cause as Error).message,
    );
    expect(outcome).to.equal("CNI plugin old DEL: busy (code 999)");
    expect(existsSync(path)).to.equal(true);
  });

  it("are not given up when nothing was saved: their ADD may have completed all the same", async () => {
    today();
    alive = false;
    folder.plugin("today", `echo '{"code":999,"msg":"busy"}'; exit 1`);
    for (const text of [undefined, "{ damaged"]) {
      if (text !== undefined) cache("old-net", text);
      const outcome = await network.tearDownLegacy(pod).then(
        () => "done",
        (cause: unknown) => (cause as Error).message,
      );
      expect(outcome).to.equal("CNI plugin today DEL: busy (code 999)");
    }
  });

  it("have their addresses named when they are given up", async () => {
    cacheAsLibcni();
    folder.plugin("old", `echo '{"code":999,"msg":"busy"}'; exit 1`);
    await network.tearDownLegacy(pod, true);
    expect(given.map(({ addresses }) => addresses)).to.deep.equal([["10.9.0.5", "fd09::5"]]);

    cache("old-net", { kind: "cniCacheV1", containerId: id, result: { ips: [{ address: "x" }] } });
    today();
    folder.plugin("today", `echo '{"code":999,"msg":"busy"}'; exit 1`);
    await network.tearDownLegacy(pod, true);
    expect(given.at(-1)?.addresses).to.deep.equal([]);
  });

  it("get a cache file back that says the same", async () => {
    const attachment = {
      networkName: "old-net",
      cniVersion: "0.4.0",
      ifName: "eth0",
      containerId: id,
      netns: "/n",
      plugins: saved.plugins,
      disableCheck: true,
      args: [["K8S_POD_NAME", "web"]] as [string, string][],
      capabilityArgs: { portMappings },
      result,
      ips: ["10.9.0.5", "fd09::5"],
    };
    await writeLegacyCache(folder.cacheDir, attachment);
    const path = join(folder.cacheDir, "results", `old-net-${id}-eth0`);
    expect(statSync(path).mode & 0o777).to.equal(0o600);
    const raw = JSON.parse(readFileSync(path, "utf8")) as Record<string, string>;
    expect(raw).to.deep.include({ kind: "cniCacheV1", networkName: "old-net", netns: "/n" });
    const [entry] = await readLegacyCache(folder.cacheDir, id, "eth0");
    expect(entry).to.deep.include({
      args: attachment.args,
      result,
      capabilityArgs: { portMappings },
    });
    expect(entry?.config).to.deep.include({
      name: "old-net",
      plugins: saved.plugins,
      disableCheck: true,
    });
  });
});
