import { expect } from "chai";
import { pauseImageFindings } from "../../../src/admin/migrate-node.ts";
import { parseOptions } from "../../../src/admin/migrate-options.ts";
import { StepFailure, walkSteps } from "../../../src/admin/report.ts";

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

  it("has the folders and the socket of cri-dockerd's own command line, unless it says others", () => {
    const theirs = [
      ...["cri-dockerd", "--container-runtime-endpoint", "unix:///x.sock"],
      ...["--cni-cache-dir=/c", "--cri-dockerd-root-directory", "/r"],
    ];
    const options = parseOptions(["--back"], theirs);
    expect(options?.folders.criDockerd).to.equal("/r");
    expect(options?.config.cniCacheDir).to.equal("/c");
    expect(options?.criDockerdEndpoint).to.equal("unix:///x.sock");
    const said = parseOptions(["--back", "--cni-cache-dir=/d"], theirs);
    expect(said?.config.cniCacheDir).to.equal("/d");
    const activated = ["cri-dockerd", "--container-runtime-endpoint=fd://"];
    for (const args of [[], activated]) {
      expect(parseOptions(["--back"], args)?.criDockerdEndpoint).to.equal(
        "unix:///var/run/cri-dockerd.sock",
      );
    }
  });

  it("says which pause image cri-dockerd has, unless Dockline has the same", () => {
    const found = (theirs: string[], ...args: string[]) => {
      const options = parseOptions(["--from=cri-dockerd", ...args], theirs);
      if (options === undefined) throw new Error("no options");
      return pauseImageFindings(options.theirPauseImage, options.config);
    };
    const theirs = ["cri-dockerd", "--pod-infra-container-image=r.example/pause:3"];
    const [finding] = found(theirs);
    expect(finding?.level).to.equal("warn");
    expect(finding?.text).to.match(
      /is r\.example\/pause:3, .* registry\.k8s\.io\/pause:.*podInfra/,
    );
    expect(found(theirs, "--pod-infra-container-image=r.example/pause:3")).to.deep.equal([]);
    expect(found(["cri-dockerd"])).to.deep.equal([]);
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

describe("the steps of a migration", () => {
  it("end with the one that fails, by its number", async () => {
    const did: string[] = [];
    let printed = "";
    const step = (title: string, error?: Error) => ({
      title,
      apply: () => {
        did.push(title);
        return error === undefined ? Promise.resolve("yes") : Promise.reject(error);
      },
    });
    const steps = [step("one"), { title: "by hand" }, step("two", new Error("no")), step("three")];
    const print = (text: string): void => void (printed += text);
    const failure = await walkSteps(steps, { apply: true, print }).catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(StepFailure);
    expect(failure).to.include({ number: 3, message: "step 3 (two) failed: no" });
    expect(did).to.deep.equal(["one", "two"]);
    expect(printed).to.equal("  1. one\n       done: yes\n  2. by hand\n  3. two\n");
    did.length = 0;
    await walkSteps(steps, { apply: false, print });
    expect(did).to.deep.equal([]);
  });
});
