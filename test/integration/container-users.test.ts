import { expect } from "chai";
import { busyboxFiles, imageArchive } from "../../scripts/image-archive.ts";
import type { ImageFile } from "../../scripts/image-archive.ts";
import {
  NamespaceMode,
  SupplementalGroupsPolicy as Policy,
} from "../../src/gen/runtime/v1/api_pb.js";
import { procStatus, until, withContainer } from "../support/containers.ts";
import type { SecurityInit } from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { leavesNothing } from "../support/oracle.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removePod,
  runPod,
  shell,
  startContainer,
  untilExited,
} from "../support/pods.ts";
import type { ContainerInit, RunningPod } from "../support/pods.ts";
import { ensureImage } from "../support/test-images.ts";

const passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n";
const group = "root:x:0:\nwheel:x:10:root\napp:x:1000:\nextra:x:2000:app\nmore:x:2001:app\n";
const store: ImageFile[] = [
  { path: "nix", directory: true, mode: 0o755 },
  { path: "nix/store", directory: true, mode: 0o755 },
  { path: "nix/store/passwd", content: passwd },
  { path: "nix/store/group", content: group },
];
const links = (passwdTo: string, groupTo: string): ImageFile[] => [
  { path: "etc/passwd", symlinkTo: passwdTo },
  { path: "etc/group", symlinkTo: groupTo },
];
/** Each way in which an image can have its two files elsewhere. */
const layouts: Record<string, ImageFile[]> = {
  absolute: links("/nix/store/passwd", "/nix/store/group"),
  relative: links("../nix/store/passwd", "../nix/store/group"),
  "a chain": [
    ...links("first", "/etc/second"),
    { path: "etc/first", symlinkTo: "/etc/third" },
    { path: "etc/third", symlinkTo: "../nix/store/passwd" },
    { path: "etc/second", symlinkTo: "../nix/../nix/store/group" },
  ],
  "beyond the root": links("../../../../nix/store/passwd", "/../../nix/store/group"),
  "a linked folder": [
    { path: "current", symlinkTo: "nix/store" },
    ...links("/current/passwd", "../current/group"),
  ],
};

describe("a container's users", function () {
  this.timeout(120_000);
  let node: TestNode;
  let pod: RunningPod;
  let count = 0;
  const images: string[] = [];

  before(async () => {
    node = await startNode({ withoutNetwork: true });
    pod = await runPod(node, hostSandboxConfig(node));
  });
  after(async () => {
    await removePod(node, pod);
    for (const image of images) await node.docker.removeImage(image, { force: true });
    await node.close();
  });
  leavesNothing(() => node);

  const config = (
    image: string,
    security: SecurityInit = {},
    line = "sleep 1000",
  ): ContainerInit => {
    count += 1;
    return containerConfig(line, {
      metadata: { name: `u${count}` },
      image: { image },
      linux: {
        resources: {},
        securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER }, ...security },
      },
    });
  };
  async function makeImage(files: ImageFile[], user = ""): Promise<string> {
    const reference = `dockline.test/made-${process.pid}-${images.length}:1`;
    const linkedEtc = files.some(({ path, symlinkTo }) => path === "etc" && symlinkTo);
    const base = busyboxFiles().filter(
      ({ path }) =>
        !files.some((file) => file.path === path) && !(linkedEtc && path.startsWith("etc")),
    );
    await node.docker.loadImage(
      await imageArchive({
        references: [reference],
        files: [...base, ...files],
        config: { Env: ["PATH=/bin"], Cmd: ["sh"], User: user },
        salt: reference,
      }),
    );
    images.push(reference);
    return reference;
  }
  const numbers = (text: string): number[] =>
    [...new Set(text.split(/\s+/).filter(Boolean).map(Number))].sort((a, b) => a - b);
  const pidOf = async (id: string): Promise<number> =>
    (await node.docker.inspectContainer(id)).State.Pid;
  const shownUser = async (containerId: string): Promise<[number, number, number[]]> => {
    const { status } = await node.runtime.containerStatus({ containerId });
    const user = status?.user?.linux;
    if (user === undefined) throw new Error("the status has no user");
    const groups = user.supplementalGroups.map(Number);
    return [Number(user.uid), Number(user.gid), [...new Set(groups)].sort((a, b) => a - b)];
  };
  /** uid, gid and groups of the first process, of an exec and of the status: all are to be alike. */
  async function idsOf(id: string): Promise<[number, number, number[]]> {
    const pid = await pidOf(id);
    const [uid = -1] = procStatus(pid, "Uid").split(/\s+/).map(Number);
    const [gid = -1] = procStatus(pid, "Gid").split(/\s+/).map(Number);
    const groups = numbers(`${gid} ${procStatus(pid, "Groups")}`);
    const seen = await shell(node, id, "id -u; id -g; id -G");
    const [execUid, execGid, execGroups = ""] = seen.split("\n");
    expect([Number(execUid), Number(execGid), numbers(execGroups)], "exec").to.deep.equal([
      uid,
      gid,
      groups,
    ]);
    const shown = await shownUser(id);
    expect([...shown.slice(0, 2), numbers(`${gid} ${shown[2].join(" ")}`)]).to.deep.equal([
      uid,
      gid,
      groups,
    ]);
    return [uid, gid, groups];
  }

  for (const [what, files] of Object.entries(layouts))
    it(`come from files that are links: ${what}`, async function () {
      const image = await makeImage([...store, ...files]);
      const cases: [SecurityInit, [number, number, number[]]][] = [
        [{ runAsUsername: "app", supplementalGroupsPolicy: Policy.Strict }, [1000, 1000, [1000]]],
        [
          { runAsUser: { value: 1000n }, supplementalGroupsPolicy: Policy.Strict },
          [1000, 1000, [1000]],
        ],
        [{ runAsUsername: "app", runAsGroup: { value: 3000n } }, [1000, 3000, [2000, 2001, 3000]]],
        [{ runAsUsername: "app" }, [1000, 1000, [1000, 2000, 2001]]],
      ];
      for (const [security, expected] of cases) {
        await withContainer(node, pod, config(image, security), async (id) => {
          expect(await idsOf(id)).to.deep.equal(expected);
        });
      }
    });

  it("come from no file below a linked /etc, nor where links lead nowhere", async () => {
    const linked = await makeImage([
      { path: "usr", directory: true, mode: 0o755 },
      { path: "usr/etc", directory: true, mode: 0o755 },
      { path: "usr/etc/passwd", content: passwd },
      { path: "etc", symlinkTo: "usr/etc" },
    ]);
    // Docker puts a folder of its own in the link's place: no process sees the image's files.
    const named = createContainer(node, pod, config(linked, { runAsUsername: "app" }));
    expect(await named.then(String, String)).to.include('the image has no user "app"');
    await withContainer(node, pod, config(linked, { runAsUser: { value: 1000n } }), async (id) => {
      expect(await idsOf(id)).to.deep.equal([1000, 0, [0]]);
      expect(await shell(node, id, "cat /usr/etc/passwd")).to.include("app");
    });
    const ring = await makeImage([
      ...links("ring", "/nowhere"),
      { path: "etc/ring", symlinkTo: "passwd" },
    ]);
    const security = { runAsUser: { value: 1000n }, supplementalGroupsPolicy: Policy.Strict };
    const lost = await createContainer(node, pod, config(ring, { runAsUsername: "app" })).then(
      String,
      String,
    );
    expect(lost).to.include('run_as_username: the image has no user "app"');
    const id = await createContainer(node, pod, config(ring, security));
    // Whether a user without files can be started is the engine's to say; the ids are these.
    expect(await shownUser(id)).to.deep.equal([1000, 0, [0]]);
    await node.runtime.removeContainer({ containerId: id });
  });

  for (const [what, security, expected] of [
    ["Merge", { runAsUser: { value: 1000n } }, [1000, 1000, [1000, 2000, 2001, 4000]]],
    [
      "Strict",
      { runAsUser: { value: 1000n }, supplementalGroupsPolicy: Policy.Strict },
      [1000, 1000, [1000, 4000]],
    ],
    [
      "a group",
      { runAsUser: { value: 1000n }, runAsGroup: { value: 3000n } },
      [1000, 3000, [2000, 2001, 3000, 4000]],
    ],
    ["a name", { runAsUsername: "app" }, [1000, 1000, [1000, 2000, 2001, 4000]]],
    ["a uid without a name", { runAsUser: { value: 1234n } }, [1234, 0, [0, 4000]]],
    ["the image's user", {}, [1000, 1000, [1000, 2000, 2001, 4000]]],
  ] as const)
    it(`stay those of the start in an exec, with ${what}`, async () => {
      const image = await makeImage(
        [
          { path: "etc", directory: true, mode: 0o777 },
          { path: "etc/passwd", content: passwd, mode: 0o666 },
          { path: "etc/group", content: group, mode: 0o666 },
        ],
        "app",
      );
      const asked = { ...security, supplementalGroups: [4000n] } as SecurityInit;
      await withContainer(node, pod, config(image, asked), async (id) => {
        expect(await idsOf(id)).to.deep.equal(expected);
        const changes = [
          "sed -i -e s/app:x:1000:1000/app:x:0:0/ /etc/passwd",
          "echo new:x:1234:77::/:/bin/sh >>/etc/passwd",
          "sed -i -e s/extra:x:2000:app/extra:x:2000:/ /etc/group",
          "echo late:x:5000:app,new >>/etc/group",
        ];
        // In place, as a process without a right to the folder would do it.
        for (const change of changes) {
          const [, script = "", file = ""] = /-e (\S+) (\S+)$/.exec(change) ?? [];
          const line =
            script === "" ? change : `sed -e '${script}' ${file} >/tmp/x && cat /tmp/x >${file}`;
          await shell(node, id, line);
        }
        expect(await shell(node, id, "cat /etc/group")).to.include("late:x:5000");
        expect(await idsOf(id)).to.deep.equal(expected);
      });
    });

  it("of an exec as root follow the container's own file only where the image names root", async () => {
    const files = [
      { path: "etc/passwd", content: passwd },
      { path: "etc/group", content: group },
    ];
    const [none, named] = [await makeImage(files), await makeImage(files, "root")];
    const late = "echo late:x:5000:root >>/etc/group";
    const root = { runAsUser: { value: 0n } };
    for (const [image, security, groups] of [
      [none, {}, [0, 10]],
      [none, root, [0, 10]],
      [none, { ...root, runAsGroup: { value: 0n } }, [0, 10]],
      [none, { ...root, supplementalGroupsPolicy: Policy.Strict }, [0]],
    ] as [string, SecurityInit, number[]][]) {
      await withContainer(node, pod, config(image, security), async (id) => {
        await shell(node, id, late);
        expect(await idsOf(id), JSON.stringify(Object.keys(security))).to.deep.equal([
          0,
          0,
          groups,
        ]);
      });
    }
    await withContainer(node, pod, config(named), async (id) => {
      expect(await idsOf(id)).to.deep.equal([0, 0, [0, 10]]);
      await shell(node, id, late);
      expect(numbers(await shell(node, id, "id -G"))).to.deep.equal([0, 10, 5000]);
      expect(await shownUser(id)).to.deep.equal([0, 0, [0, 10]]);
    });
  });

  it("are those of the start in the status, when the entrypoint has given up root", async () => {
    const image = await makeImage([
      { path: "etc/passwd", content: passwd },
      { path: "etc/group", content: group },
    ]);
    const drop = "exec su -s /bin/sh app -c 'exec sleep 1000'";
    const id = await startContainer(node, pod, config(image, {}, drop));
    const pid = await pidOf(id);
    // Nobody has asked for the status by then.
    await until("the process is app's", () => /^1000\s/.test(procStatus(pid, "Uid")));
    const expected = [0, 0, [0, 10]];
    expect(await shownUser(id)).to.deep.equal(expected);
    await node.kill();
    await node.start();
    expect(await shownUser(id)).to.deep.equal(expected);
    expect(procStatus(pid, "Uid")).to.match(/^1000\s/);
    await node.runtime.stopContainer({ containerId: id, timeout: 0n });
    await untilExited(node, id);
    expect(await shownUser(id)).to.deep.equal(expected);
    await node.kill();
    await node.start();
    expect(await shownUser(id)).to.deep.equal(expected);
    await node.runtime.removeContainer({ containerId: id });
  });

  it("are in the status of a container that nobody asked for while it ran", async () => {
    await ensureImage(node.docker, "dockline.test/users:1");
    const users = "dockline.test/users:1";
    const ids: [string, [number, number, number[]]][] = [];
    for (const [security, expected] of [
      [{}, [1000, 1000, [1000, 50000]]],
      [{ runAsUser: { value: 7n }, runAsGroup: { value: 8n } }, [7, 8, [8]]],
    ] as [SecurityInit, [number, number, number[]]][]) {
      ids.push([await startContainer(node, pod, config(users, security, "true")), expected]);
    }
    for (const [id, expected] of ids) {
      await untilExited(node, id);
      expect(await shownUser(id)).to.deep.equal(expected);
    }
    await node.kill();
    await node.start();
    for (const [containerId, expected] of ids) {
      expect(await shownUser(containerId)).to.deep.equal(expected);
      await node.runtime.removeContainer({ containerId });
    }
  });

  it("are read although somebody prunes the container that they are read from", async () => {
    const image = await makeImage([...store, ...layouts["absolute"]!]);
    let pruned = 0;
    let last = "";
    const prune = async (): Promise<void> => {
      for (const { Id } of await node.docker.listContainers(["io.dockline/scratch"])) {
        // The first three that are seen, as a cron job would happen to meet them.
        if (Id === last || pruned === 3) continue;
        last = Id;
        pruned += 1;
        await node.docker.removeContainer(Id).catch(() => undefined);
      }
    };
    node.proxy.reset();
    const pruner = setInterval(() => void prune().catch(() => undefined), 2);
    try {
      const security = { runAsUsername: "app", supplementalGroupsPolicy: Policy.Strict };
      await withContainer(node, pod, config(image, security), async (id) => {
        expect(await idsOf(id)).to.deep.equal([1000, 1000, [1000]]);
      });
    } finally {
      clearInterval(pruner);
    }
  });

  it("leave no scratch container of a process that was killed, and a start in its place", async () => {
    const { id } = await node.docker.createContainer("dockline-scratch-0123456789ab", {
      Image: images[0] ?? "",
      Cmd: ["true"],
      Labels: { "io.dockline/scratch": "accounts" },
      HostConfig: { NetworkMode: "none" },
    });
    await node.kill();
    await node.start();
    const gone = (): Promise<boolean> =>
      node.docker.inspectContainer(id).then(
        () => false,
        () => true,
      );
    await until("the left-over is gone", gone);
  });
});
