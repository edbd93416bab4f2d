import { create } from "@bufbuild/protobuf";
import { writeFileSync } from "node:fs";
import { expect } from "chai";
import { readAdjustmentDevices } from "../../../src/containers/nri-devices.ts";
import { CriError } from "../../../src/errors.ts";
import {
  ContainerAdjustmentSchema,
  Field,
  FieldOwnersSchema,
} from "../../../src/gen/nri/v1alpha1/api_pb.js";
import { tempFolder } from "../../support/temp-folder.ts";

describe("CDI devices that plugins add", () => {
  const temp = tempFolder();
  before(() => {
    const device = (name: string) => ({ name, containerEdits: { env: [`DEVICE=${name}`] } });
    const spec = { cdiVersion: "0.6.0", kind: "v.com/c", devices: [device("a"), device("b")] };
    writeFileSync(temp.path("v.json"), JSON.stringify(spec));
    writeFileSync(temp.path("broken.json"), "{");
  });
  after(() => temp.remove());

  const owners = create(FieldOwnersSchema, {
    compound: { [Field.CdiDevices]: { owners: { "v.com/c=x": "10-injector" } } },
  });
  const read = (...names: string[]) =>
    readAdjustmentDevices(
      create(ContainerAdjustmentSchema, { CDIDevices: names.map((name) => ({ name })) }),
      owners,
      [temp.path("")],
    );

  it("are read in the order of their names", async () => {
    const found = await read("v.com/c=b", "v.com/c=a");
    expect(found.flatMap(({ env }) => env ?? [])).to.deep.equal(["DEVICE=b", "DEVICE=a"]);
    expect(await read()).to.deep.equal([]);
  });

  it("are refused by plugin and name when there are none, with what is wrong with the files", async () => {
    const error = await read("v.com/c=a", "v.com/c=x").catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(CriError);
    const { kind, message } = error as CriError;
    expect(kind).to.equal("NotFound");
    expect(message)
      .to.match(/^NRI plugin 10-injector: CDI_devices "v\.com\/c=x": /)
      .and.contain("broken.json");
  });
});
