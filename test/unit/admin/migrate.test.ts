import { expect } from "chai";
import { parseOptions } from "../../../src/admin/migrate.ts";

describe("dockline migrate's command line", () => {
  it("knows its three directions and takes serve's options", () => {
    const options = parseOptions(["--from", "cri-dockerd", "--state-dir=/s", "--apply"]);
    expect(options).to.include({ direction: "from", apply: true, kubeletFlags: undefined });
    expect(options?.config.stateDir).to.equal("/s");
    expect(parseOptions(["--back"])).to.include({ direction: "back", apply: false });
    expect(parseOptions(["--back", "--undo"])).to.include({ direction: "undo" });
    expect(
      parseOptions(["--from=dockershim", "--dockershim-root=/d"])?.folders.dockershim,
    ).to.equal("/d");
    expect(parseOptions(["--help"])).to.equal(undefined);
  });

  for (const [args, message] of [
    [[], "say one of --from, --back and --to"],
    [["--from=cri-dockerd", "--back"], "say one of --from, --back and --to"],
    [["--to=containerd", "--back"], "say one of --from, --back and --to"],
    [["--to=podman"], "want containerd"],
    [["--to=containerd", "--apply"], "needs --output FOLDER"],
    [["--back", "--output=/x"], "--output belongs to --to"],
    [["--from=podman"], "want cri-dockerd or dockershim"],
    [["--from=cri-dockerd", "--undo"], "--undo belongs to --back"],
    [["--back", "--kubelet-flags"], "--kubelet-flags needs a value"],
    [["--back", "--state-dri=/x"], "did you mean --state-dir"],
  ] as const) {
    it(`refuses ${args.join(" ") || "nothing at all"}`, () => {
      expect(() => parseOptions(args)).to.throw(message);
    });
  }
});
