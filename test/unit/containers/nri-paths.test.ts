import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { mkdirSync } from "node:fs";
import { expect } from "chai";
import { HostPaths } from "../../../src/containers/host-paths.ts";
import { requireAdjustmentPaths } from "../../../src/containers/nri-paths.ts";
import { CriError } from "../../../src/errors.ts";
import {
  ContainerAdjustmentSchema,
  Field,
  FieldOwnersSchema,
} from "../../../src/gen/nri/v1alpha1/api_pb.js";
import { tempFolder } from "../../support/temp-folder.ts";

describe("paths of the node that plugins name", () => {
  const temp = tempFolder();
  after(() => temp.remove());
  mkdirSync(temp.path("there"));
  const noRemote = { on: () => expect.fail("asks a file system that may hang") };
  const hostPaths = new HostPaths({ remote: noRemote, rejectAbsent: [] });
  const owners = create(FieldOwnersSchema, {
    compound: {
      [Field.Mounts]: { owners: { "/d": "10-a" } },
      [Field.Namespace]: { owners: { network: "20-b" } },
    },
  });
  const check = async (
    adjust: MessageInitShape<typeof ContainerAdjustmentSchema>,
  ): Promise<string> => {
    try {
      await requireAdjustmentPaths(create(ContainerAdjustmentSchema, adjust), owners, hostPaths);
      return "";
    } catch (error) {
      if (!(error instanceof CriError)) throw error;
      expect(error.kind).to.equal("FailedPrecondition");
      return error.message;
    }
  };
  const mount = (of: object) => check({ mounts: [{ destination: "/d", type: "bind", ...of }] });
  const namespace = (path: string, type = "network") =>
    check({ linux: { namespaces: [{ type, path }] } });

  it("sources of bind mounts must be there, and nothing is made", async () => {
    expect(await mount({ source: temp.path("there") })).to.equal("");
    const missing = temp.path("absent");
    const text = await mount({ source: missing });
    expect(text)
      .to.match(/^NRI plugin 10-a: mounts "\/d": the source/)
      .and.contain(missing);
    expect(await mount({ source: missing })).to.equal(text);
    expect(await mount({ source: missing, type: "", options: ["rbind"] })).to.equal(text);
  });

  it("sources of other mounts, of removals, and what is no path are not looked at", async () => {
    expect(await mount({ source: "/absent", type: "tmpfs" })).to.equal("");
    expect(await mount({ source: "/absent", destination: "-/d" })).to.equal("");
    expect(await mount({ source: "relative" })).to.equal("");
  });

  it("paths of namespaces must be namespaces", async () => {
    expect(await namespace("/proc/self/ns/net")).to.equal("");
    expect(await namespace("")).to.equal("");
    expect(await namespace("/absent", "-network")).to.equal("");
    for (const path of ["/proc/self/status", "/proc/self/ns/absent", temp.path("there")]) {
      expect(await namespace(path)).to.equal(
        `NRI plugin 20-b: linux.namespaces "network": the path "${path}" is no namespace`,
      );
    }
    expect(await namespace(temp.path("absent/ns")))
      .to.contain("the path")
      .and.contain("absent");
  });
});
