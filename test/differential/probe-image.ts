import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { imageArchive, type ImageFile } from "../../scripts/image-archive.ts";

/** Runs the probe as root; nothing but the probe and users in it. */
export const probeImage = "dockline.test/probe:1";
/** The same with everything that an image's configuration can say. */
export const richImage = "dockline.test/probe-rich:1";

/** Builds the probe; gcc is there wherever the lanes build runc. */
function buildProbe(): Buffer {
  const folder = mkdtempSync(join(tmpdir(), "dockline-probe-"));
  try {
    const program = join(folder, "probe");
    const source = join(import.meta.dirname, "probe.c");
    execFileSync("gcc", ["-O1", "-static", "-o", program, source]);
    return readFileSync(program);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Both images, as archives that Docker and containerd load. */
export async function probeArchives(): Promise<Buffer[]> {
  const files: ImageFile[] = [
    ...["bin", "etc", "proc", "sys", "dev", "tmp", "root", "home", "data", "opt"].map((path) => ({
      path,
      directory: true,
      mode: path === "tmp" ? 0o1777 : 0o755,
    })),
    { path: "bin/probe", content: buildProbe(), mode: 0o755 },
    { path: "bin/not-executable", content: "text", mode: 0o644 },
    { path: "data/from-image", content: "of the image\n", uid: 1000, gid: 1000 },
    { path: "opt/link", symlinkTo: "/data" },
    {
      path: "etc/passwd",
      content:
        "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000:web:/home:/bin/sh\nother:x:1001:1000::/home:\nearly:x:1002\n1003:x:0:0::/:\n",
    },
    {
      path: "etc/group",
      content: "root:x:0:\nweb:x:1000:\nextra:x:50000:web,root\nmore:x:50001:web,other\n",
    },
  ];
  const read = async (spec: Parameters<typeof imageArchive>[0]): Promise<Buffer> =>
    Buffer.concat((await (await imageArchive(spec)).toArray()) as Buffer[]);
  return [
    await read({
      references: [probeImage],
      files,
      config: { Env: ["PATH=/bin"], Entrypoint: ["/bin/probe"] },
    }),
    await read({
      references: [richImage],
      files,
      config: {
        Env: ["PATH=/opt:/bin", "FROM_IMAGE=yes", "BOTH=image"],
        Entrypoint: ["/bin/probe", "entry"],
        Cmd: ["cmd"],
        User: "web",
        WorkingDir: "/home",
        StopSignal: "SIGUSR1",
        Volumes: { "/data": {} },
        Labels: { "image.example/label": "1" },
        ExposedPorts: { "80/tcp": {} },
        Healthcheck: { Test: ["CMD", "/bin/false"], Interval: 1_000_000_000 },
        Shell: ["/bin/none"],
      },
    }),
  ];
}
