import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { expectError, runToEnd, until, withContainer } from "../support/containers.ts";
import { failpointFile } from "../support/failpoint-file.ts";
import { works } from "../support/fields.ts";
import { failure } from "../support/images.ts";
import { layeredImage } from "../support/layered-image.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removePod,
  runPod,
  shell,
} from "../support/pods.ts";
import type { ContainerInit, RunningPod } from "../support/pods.ts";

const reference = "dockline.test/volume:1";
const program = readFileSync("/bin/busybox");

/** What engines below API 1.48 do by a copy, newer ones do themselves: the pod sees the same. */
describe("images as volumes", () => {
  const failpoint = failpointFile();
  const { environment } = failpoint;
  let node: TestNode;
  let pod: RunningPod;
  let start: NodeState;
  let imageId: string;
  /** The engine mounts images itself. */
  let native: boolean;
  let count = 0;

  before(async () => {
    node = await startNode({ withoutNetwork: true, environment });
    await node.docker.loadImage(
      await layeredImage(reference, [
        [
          { name: "bin/", type: "directory", mode: 0o755 },
          { name: "bin/busybox", content: program, mode: 0o755 },
          { name: "bin/cat", type: "link", linkname: "bin/busybox", mode: 0o755 },
          { name: "data/", type: "directory", mode: 0o755 },
          { name: "data/removed", content: "x" },
          { name: "data/kept", content: "low", mode: 0o644 },
          { name: "hidden/", type: "directory", mode: 0o755 },
          { name: "hidden/below", content: "x" },
        ],
        [
          { name: "data/", type: "directory", mode: 0o750 },
          { name: "data/.wh.removed", content: "" },
          { name: "data/kept", content: "high", mode: 0o4711, uid: 1234, gid: 4321 },
          { name: "data/link", type: "symlink", linkname: "kept" },
          { name: "data/absolute", type: "symlink", linkname: "/data" },
          { name: "data/up", type: "symlink", linkname: "../../.." },
          { name: "hidden/", type: "directory", mode: 0o755 },
          { name: "hidden/.wh..wh..opq", content: "" },
          { name: "hidden/above", content: "x" },
          { name: "etc/", type: "directory", mode: 0o755 },
          { name: "etc/hosts", content: "the image's own\n" },
        ],
      ]),
    );
    imageId = (await node.docker.inspectImage(reference)).Id;
    native = node.docker.supports(48);
    pod = await runPod(node, hostSandboxConfig(node));
  });
  after(async () => {
    await removePod(node, pod);
    await node.docker.removeImage(reference).catch(() => undefined);
    await node.close();
    failpoint.remove();
  });
  beforeEach(() => {
    start = nodeState(node);
  });
  afterEach(async () => {
    for (const { id } of (await node.runtime.listContainers({})).containers) {
      await node.runtime.removeContainer({ containerId: id });
    }
    await expectNothingLeft(node, start);
    await until("no copy is left", () => copies().length === 0);
  });

  const copies = (): string[] => {
    const path = join(node.stateDir, "image-volumes");
    return existsSync(path) ? readdirSync(path) : [];
  };
  const config = (line: string, imageSubPath = "", image = imageId): ContainerInit => {
    count += 1;
    return containerConfig(line, {
      metadata: { name: `v${count}` },
      mounts: [{ containerPath: "/v", image: { image }, imageSubPath, readonly: true }],
    });
  };
  const output = async (line: string, subPath = ""): Promise<string> => {
    const { out, err } = await runToEnd(node, pod, config(line, subPath));
    return out + err;
  };

  it("show every file as the image has it, and nothing else", async () => {
    works("Mount.image");
    const listing = await output(
      "cd /v; find . | sort; stat -c '%a %u %g' data data/kept; cat data/kept etc/hosts; readlink data/absolute; stat -c %h bin/cat",
    );
    expect(listing.split("\n")).to.deep.equal([
      ".",
      "./bin",
      "./bin/busybox",
      "./bin/cat",
      "./data",
      "./data/absolute",
      "./data/kept",
      "./data/link",
      "./data/up",
      "./etc",
      "./etc/hosts",
      "./hidden",
      "./hidden/above",
      "750 0 0",
      "4711 1234 4321",
      "highthe image's own",
      "/data",
      "2",
      "",
    ]);
  });

  it("are read-only and may hold programs", async () => {
    const said = await output(
      "/v/bin/cat /v/data/kept; touch /v/x || echo no; echo y >/v/data/kept || echo no; rm -rf /v/etc || echo no",
    );
    expect(said.match(/Read-only file system/g)?.length).to.be.at.least(3);
    expect(said).to.match(/^high/);
    expect(await output("cat /v/data/kept; ls /v/etc")).to.equal("highhosts\n");
  });

  it("mount a sub path: a folder, a file, one behind a link that stays inside", async () => {
    works("Mount.image_sub_path");
    expect(await output("ls /v", "hidden")).to.equal("above\n");
    expect(await output("ls /v", "./hidden/")).to.equal("above\n");
    expect(await output("cat /v", "data/kept")).to.equal("high");
    expect(await output("cat /v", "data/link")).to.equal("high");
  });

  it("refuse a sub path that is not there or leads out of the image", async () => {
    const refused = async (subPath: string, message: RegExp): Promise<void> => {
      const one = config("true", subPath);
      // The engine's own mounts are looked at when the container starts.
      const { details } = await failure(
        createContainer(node, pod, one).then((containerId) =>
          node.runtime.startContainer({ containerId }),
        ),
      );
      expect(details).to.match(message);
      if (!native) expect(details).to.match(/^ImageVolumeMountFailed: /);
    };
    await refused("none", /none/);
    await refused("data/none/x", /none/);
    await refused("data/up", native ? /./ : /"data\/up" leads out of the image/);
    await refused("data/absolute", native ? /./ : /"data\/absolute" leads out of the image/);
    for (const subPath of ["..", "data/../..", "/data", "data/\n"]) {
      await expectError(
        createContainer(node, pod, config("true", subPath)),
        "INVALID_ARGUMENT",
        /image_sub_path/,
      );
    }
  });

  it("name an image that is not on the node", async () => {
    const { details } = await failure(
      createContainer(node, pod, config("true", "", "dockline.test/none:1")),
    );
    expect(details).to.match(/dockline\.test\/none:1/);
  });

  it("share one copy, keep the image, and are shown as asked", async () => {
    works("ImageSpec.image_ref");
    await withContainer(node, pod, config("sleep 1000", "data"), async (containerId) => {
      await withContainer(node, pod, config("sleep 1000", "hidden"), async (other) => {
        expect(await shell(node, other, "ls /v")).to.equal("above");
      });
      expect(copies()).to.deep.equal(native ? [] : [imageId.slice(7)]);
      expect(await shell(node, containerId, "cat /v/kept")).to.equal("high");
      const { status } = await node.runtime.containerStatus({ containerId });
      const [mount] = status?.mounts ?? [];
      expect(mount?.image?.image).to.equal(imageId);
      expect(mount?.image?.imageRef).to.equal(imageId);
      expect(mount?.imageSubPath).to.equal("data");
      await expectError(
        node.images.removeImage({ image: { image: imageId } }),
        "FAILED_PRECONDITION",
        /(?:a container uses it|is using|in use|being used)/,
      );
      expect(await shell(node, containerId, "cat /v/kept")).to.equal("high");
    });
  });

  it("ask for the image's files once, whatever number of containers begins with it", async function () {
    if (native) this.skip();
    node.proxy.reset();
    const configs = Array.from({ length: 4 }, () => config("cat /v", "data/kept"));
    const ids = await Promise.all(configs.map((one) => createContainer(node, pod, one)));
    expect(node.proxy.count(/^GET \/images\/[^/]+\/get$/)).to.equal(1);
    expect(new Set(ids).size).to.equal(4);
  });

  it("outlive Dockline", async () => {
    await withContainer(node, pod, config("sleep 1000", "data"), async (containerId) => {
      await node.kill();
      await node.start(environment);
      expect(await shell(node, containerId, "cat /v/kept")).to.equal("high");
      expect(copies()).to.have.length(native ? 0 : 1);
    });
  });

  for (const place of [
    "image-volume.after-layer",
    "image-volume.after-merge",
    "image-volume.after-rename",
    "create.after-create",
    "image-volume.before-remove",
  ]) {
    it(`leave nothing after kill -9 at ${place}, and a retry works`, async function () {
      if (native) this.skip();
      const one = config("cat /v", "data/kept");
      let failed = false;
      if (place === "image-volume.before-remove") {
        const containerId = await createContainer(node, pod, one);
        failpoint.arm(place);
        await node.runtime.removeContainer({ containerId }).catch(() => undefined);
        failed = true;
      } else {
        failpoint.arm(place);
        await createContainer(node, pod, one).catch(() => (failed = true));
      }
      await node.ended();
      failpoint.arm("");
      expect(failed).to.equal(true);
      await node.start(environment);
      await until("what nobody uses is swept", async () => {
        const { containers } = await node.runtime.listContainers({});
        return copies().length === containers.length;
      });
      const { out } = await runToEnd(node, pod, one);
      expect(out).to.equal("high");
    });
  }
});
