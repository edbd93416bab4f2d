import { expect } from "chai";
import { toImage } from "../../../src/convert/image-out.ts";

import { digest, imageId } from "./out-support.ts";

describe("convert/image-out", () => {
  it("shows an image with sorted full names", () => {
    const image = toImage(
      { Id: imageId, Size: 2 ** 40, Config: { User: "1000:5" } },
      {
        repoTags: [
          "z:1",
          "<none>:<none>",
          `a@${digest}`,
          "docker.io/library/z:1",
          "r.example/b:2",
          "UPPER CASE",
        ],
        repoDigests: [`z@${digest}`, "<none>@<none>", "odd"],
      },
      true,
    );
    expect(image).to.deep.include({
      id: imageId,
      repoTags: ["UPPER CASE", "docker.io/library/z:1", "r.example/b:2"],
      repoDigests: [`docker.io/library/z@${digest}`],
      size: 2n ** 40n,
      username: "",
      pinned: true,
    });
    expect(image.uid?.value).to.equal(1000n);
  });

  it("never shows a size of 0, and a user by name as name", () => {
    const image = toImage(
      { Id: imageId, Size: 0, Config: { User: "4294967296" } },
      { repoTags: [], repoDigests: [] },
      false,
    );
    expect(image).to.include({ size: 1n, username: "4294967296", pinned: false });
    expect(image.uid).to.equal(undefined);
    expect(
      toImage({ Id: imageId, Size: 1.5 }, { repoTags: [], repoDigests: [] }, false).size,
    ).to.equal(1n);
  });
});
