import { busyboxFiles, imageArchive } from "../../scripts/image-archive.ts";
import type { ImageFile, ImageSpec } from "../../scripts/image-archive.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { isStatus } from "../../src/engine/errors.ts";

/** A static busybox whose applets are hard links; made from the machine's own, no registry. */
export const busybox = "dockline.test/busybox:1";

const withUsers: ImageFile[] = [
  {
    path: "etc/passwd",
    content: "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000:web:/home:/bin/sh\n",
  },
  { path: "etc/group", content: "root:x:0:\nweb:x:1000:\nextra:x:50000:web\n" },
];

/** Images that tests refer to by name; each is built at its first use on an engine. */
const specs: Record<string, () => ImageSpec> = {
  [busybox]: () => ({
    references: [busybox],
    files: busyboxFiles(),
    config: { Env: ["PATH=/bin"], Cmd: ["sh"] },
  }),
  "dockline.test/users:1": () => ({
    references: ["dockline.test/users:1"],
    files: [...busyboxFiles().filter((file) => !file.path.startsWith("etc/")), ...withUsers],
    config: { Env: ["PATH=/bin"], Cmd: ["sh"], User: "web" },
  }),
  // Says what it was started with: for the four ways of giving a command.
  "dockline.test/entrypoint:1": () => ({
    references: ["dockline.test/entrypoint:1"],
    files: [
      ...busyboxFiles(),
      { path: "bin/show", content: '#!/bin/sh\necho show "$@"\n', mode: 0o755 },
    ],
    config: {
      Env: ["PATH=/bin", "FROM_IMAGE=yes", "BOTH=image"],
      Entrypoint: ["/bin/show", "image-entrypoint"],
      Cmd: ["image-cmd"],
      WorkingDir: "/var",
      StopSignal: "SIGUSR1",
    },
  }),
  // What a hostile image would say to pass for the kubelet (T11).
  "dockline.test/hostile:1": () => ({
    references: ["dockline.test/hostile:1"],
    files: busyboxFiles(),
    config: {
      Env: ["PATH=/bin"],
      Cmd: ["sh"],
      Labels: {
        "annotation.io.kubernetes.container.preStopHandler": '{"exec":{"command":["evil"]}}',
        "annotation.io.kubernetes.container.restartCount": "99",
        "annotation.io.dockline/cri": '{"v":1,"name":"x","kind":"podsandbox"}',
        "io.kubernetes.docker.type": "podsandbox",
        "io.kubernetes.sandbox.id": "0".repeat(64),
        "io.kubernetes.container.logpath": "/etc/cron.d/evil",
        "evil.example/label": "1",
      },
    },
  }),
};

/** Builds and loads an image of the table unless the engine has it. */
export async function ensureImage(docker: Engine, reference: string): Promise<string> {
  try {
    return (await docker.inspectImage(reference)).Id;
  } catch (error) {
    if (!isStatus(error, 404)) throw error;
  }
  const spec = specs[reference];
  if (spec === undefined) throw new Error(`no test image ${reference}`);
  await docker.loadImage(await imageArchive(spec()));
  return (await docker.inspectImage(reference)).Id;
}

export async function ensureTestImages(docker: Engine): Promise<void> {
  await ensureImage(docker, busybox);
}
