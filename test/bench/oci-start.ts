import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release } from "node:os";
import { createDockerEngine } from "../../src/engine/docker-engine.ts";
import { silentLogger } from "../../src/log.ts";
import {
  busybox,
  docklineOci,
  newRunc,
  removeEdits,
  startOciEngine,
  writeEdits,
} from "../support/oci-engine.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { median } from "./figures.ts";

// What dockline-oci adds to a container's start: `node test/bench/oci-start.ts [rounds]`, as root. Each
// round starts one container of each kind, in changing order, so that the machine's moods hit all alike.

interface Kind {
  readonly name: string;
  readonly runtime: string;
  /** What is compared with it. */
  readonly beside?: string;
  readonly edits?: (id: string) => Record<string, unknown>;
}

const rounds = Number(process.argv[2] ?? 60);
const runc = newRunc();
const option = { op: "mountOptions", destination: "/data", add: ["noexec"], remove: [] };
const kinds: Kind[] = [
  { name: "runc", runtime: "runc" },
  {
    name: "dockline-oci, a mount option",
    runtime: "dockline",
    beside: "runc",
    edits: () => ({ ops: [option] }),
  },
  ...(runc === undefined
    ? []
    : [
        {
          name: "dockline-oci before runc 1.2+, a mount option",
          runtime: "dockline-new",
          edits: () => ({ ops: [option] }),
        },
        {
          name: "dockline-oci before runc 1.2+, a user namespace",
          runtime: "dockline-new",
          beside: "dockline-oci before runc 1.2+, a mount option",
          edits: () => ({ userNamespace: { hostId: 131072, size: 65536 } }),
        },
      ]),
];

const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** The program alone: from its start to the end of a real runtime that does nothing. */
function programAlone(): { alone: number; nothing: number } {
  const temp = tempFolder();
  try {
    mkdirSync(temp.path("bundle"));
    mkdirSync(temp.path("edits"), { mode: 0o711 });
    const mounts = [{ destination: "/data", source: "/d", type: "bind", options: ["bind"] }];
    const spec = { ociVersion: "1.0.2", root: { path: "/" }, mounts, process: { args: ["sh"] } };
    const edits = { v: 1, containerId: "c1", ops: [option] };
    writeFileSync(temp.path("edits/c1.json"), JSON.stringify(edits), { mode: 0o600 });
    const create = ["create", "--bundle", temp.path("bundle"), "c1"];
    const timeOf = (program: string, args: string[]): number => {
      writeFileSync(temp.path("bundle/config.json"), JSON.stringify(spec));
      const began = performance.now();
      const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
      if (status !== 0) throw new Error(stderr);
      return performance.now() - began;
    };
    const own = ["--real-runtime=/bin/true", `--edits=${temp.path("edits")}`, ...create];
    const times = Array.from({ length: 300 }, () => [
      timeOf(docklineOci, own),
      timeOf("/bin/true", create),
    ]);
    return { alone: median(times.map(([a]) => a!)), nothing: median(times.map(([, b]) => b!)) };
  } finally {
    temp.remove();
  }
}

const engine = await startOciEngine({
  dockline: [],
  ...(runc === undefined ? {} : { "dockline-new": [`--real-runtime=${runc}`] }),
});
const docker = createDockerEngine({ endpoint: `unix://${engine.folder("s")}`, log: silentLogger });
const times = new Map<string, number[]>(kinds.map(({ name }) => [name, []]));
try {
  const { ServerVersion } = await docker.info();
  say(
    `${cpus().length} cores ${cpus()[0]?.model ?? ""}, Linux ${release()}, Docker ${ServerVersion}, load ${loadavg()
      .map((value) => value.toFixed(1))
      .join(" ")}`,
  );
  mkdirSync(engine.folder("data"));
  for (let round = -3; round < rounds; round += 1) {
    for (let at = 0; at < kinds.length; at += 1) {
      const { name, runtime, edits } = kinds[(at + round + 3) % kinds.length]!;
      const id = engine.docker(
        ...["create", `--runtime=${runtime}`, "--network=none"],
        ...[`--volume=${engine.folder("data")}:/data`, busybox, "sleep", "1000"],
      );
      if (edits !== undefined) writeEdits(id, edits(id));
      const began = performance.now();
      await docker.startContainer(id);
      const took = performance.now() - began;
      // The first rounds warm the caches.
      if (round >= 0) times.get(name)!.push(took);
      await docker.removeContainer(id);
      removeEdits(id);
    }
  }
  for (const { name, beside } of kinds) {
    const own = times.get(name)!;
    const other = beside === undefined ? undefined : times.get(beside)!;
    const added =
      other === undefined ? "" : `, +${median(own.map((ms, at) => ms - other[at]!)).toFixed(1)} ms`;
    const fastest = Math.min(...own).toFixed(1);
    say(
      `${name}: median ${median(own).toFixed(1)} ms of ${own.length} starts${added}; fastest ${fastest} ms`,
    );
  }
  const { alone, nothing } = programAlone();
  say(`the program alone: ${alone.toFixed(2)} ms, /bin/true ${nothing.toFixed(2)} ms`);
} finally {
  docker.close();
  await engine.remove();
}
