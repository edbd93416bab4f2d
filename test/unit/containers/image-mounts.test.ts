import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import { holdImageMounts } from "../../../src/containers/image-mounts.ts";
import { MountSchema } from "../../../src/gen/runtime/v1/api_pb.js";
import type { ImageEntry } from "../../../src/index/image-index.ts";
import type { ImageVolumes } from "../../../src/images/image-volumes.ts";

const id = `sha256:${"a".repeat(64)}`;
const mapping = [{ hostId: 131072, containerId: 0, length: 65536 }];

describe("images that are mounted", () => {
  const held = async (apiMinor: number, fields: object) => {
    const found = { id, inspect: { Os: "linux", Size: 1, RootFS: { Layers: ["sha256:l"] } } };
    let releases = 0;
    const volumes = {
      hold: () =>
        Promise.resolve({
          path: (subPath: string) => Promise.resolve(`/copy/${subPath}`),
          release: () => (releases += 1),
        }),
    } as unknown as ImageVolumes;
    const images = { find: () => Promise.resolve(found as unknown as ImageEntry) };
    const mount = create(MountSchema, {
      containerPath: "/m",
      image: { image: id },
      imageSubPath: "data",
      ...fields,
    });
    const { signal } = new AbortController();
    const mounts = await holdImageMounts({ volumes, images }, [mount], { apiMinor }, signal);
    mounts.release();
    return { source: mounts.sources.get(0), copied: mounts.copied, releases };
  };
  const byEngine = { source: id, copied: [], releases: 0 };
  const copy = { source: "/copy/data", copied: [id], releases: 1 };

  it("are mounted by the engine where it can, and are copies below API 1.48", async () => {
    expect(await held(48, {})).to.deep.equal(byEngine);
    expect(await held(47, {})).to.deep.equal(copy);
  });

  it("are copies in a pod with a user namespace: the engine's own mount cannot be id-mapped", async () => {
    expect(await held(56, { uidMappings: mapping, gidMappings: mapping })).to.deep.equal(copy);
    expect(await held(47, { uidMappings: mapping, gidMappings: mapping })).to.deep.equal(copy);
  });
});
