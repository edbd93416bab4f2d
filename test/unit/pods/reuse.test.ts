import { mkdirSync, writeFileSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import { configHash } from "../../../src/convert/config-hash.ts";
import { kindOf } from "../../../src/cri/status.ts";
import { NamespaceMode, PodSandboxConfigSchema } from "../../../src/gen/runtime/v1/api_pb.js";
import { silentLogger } from "../../../src/log.ts";
import { runsAlready } from "../../../src/pods/reuse.ts";
import { SandboxRecords } from "../../../src/state/sandbox-records.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const id = "ab".repeat(32);
/** As a release wrote it whose CRI had no `supplemental_groups_policy`, which its hash is without. */
const olderFile = "8cad8e92ba300d6414e0efa128607fac57a69980.json";
const olderRecord = `{"version":1,"checksum":"638493e36bb0cf37437806c6b156da0f6094587413f4436ca7781443026667a9","record":{"name":"k8s_POD_web_default_u1_0","id":"${id}","phase":"ready","configHash":"6a6f3a44ef1ae9c2e3ac74c82483990a","hostNetwork":true,"config":"ChIKA3dlYhICdTEaB2RlZmF1bHQSA3dlYhocL3Zhci9sb2cvcG9kcy9kZWZhdWx0X3dlYl91MTIKCgNhcHASA3dlYkIXCg8va3ViZXBvZHMvcG9kdTESBAoCCAI=","runtimeHandler":"","createdAtNs":"1764000000000000000","ips":[]}}`;

const asked = (hostname = "web") =>
  create(PodSandboxConfigSchema, {
    metadata: { name: "web", namespace: "default", uid: "u1" },
    hostname,
    logDirectory: "/var/log/pods/default_web_u1",
    labels: { app: "web" },
    linux: {
      cgroupParent: "/kubepods/podu1",
      securityContext: { namespaceOptions: { network: NamespaceMode.NODE } },
    },
  });
const hashOf = (config = asked(), runtimeHandler = ""): string =>
  configHash(PodSandboxConfigSchema, config, runtimeHandler);

describe("a RunPodSandbox that is asked for again after an upgrade", () => {
  let temporary: ReturnType<typeof tempFolder>;
  beforeEach(() => {
    temporary = tempFolder();
    mkdirSync(temporary.path("sandboxes"));
    writeFileSync(temporary.path(`sandboxes/${olderFile}`), olderRecord);
  });
  afterEach(() => {
    temporary.remove();
  });

  const again = async (hash: string): Promise<unknown> => {
    const record = (await SandboxRecords.open(temporary.path(""), silentLogger)).byId(id);
    expect(record?.configHash).to.match(/^6a6f/);
    const entry = {
      ...{ id, name: record?.name, state: { Running: true } },
      identity: { extra: { hash: record?.configHash } },
    } as never;
    const index = { find: () => Promise.resolve(entry) } as never;
    return await runsAlready({ index }, entry, record, hash).catch((error: unknown) =>
      kindOf(error),
    );
  };

  it("gets the pod that an older release made of the same request", async () => {
    expect(hashOf()).to.not.match(/^6a6f/);
    expect(await again(hashOf())).to.equal(id);
    expect(await again("6a6f3a44ef1ae9c2e3ac74c82483990a")).to.equal(id);
  });

  it("is refused while a pod of another request runs under its name", async () => {
    expect(await again(hashOf(asked("other")))).to.equal("AlreadyExists");
    expect(await again(hashOf(asked(), "gvisor"))).to.equal("AlreadyExists");
  });
});
