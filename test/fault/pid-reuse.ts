import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { endOrphanedPlugins } from "../../src/network/orphans.ts";
import { lockFolder } from "../../src/sys/instance-lock.ts";
import { isRunning, killExecTree, readProcess } from "../../src/sys/process-tree.ts";

// Runs in a pid namespace of its own, where the kernel assigns the pid that it is given, and
// prints what became of the process that got a pid with a past.

const containerId = "c0ffee".repeat(10) + "beef";

function start(environment: NodeJS.ProcessEnv = {}): ChildProcess {
  return spawn("/bin/sleep", ["100"], { stdio: "ignore", env: environment });
}

/** The impostor: another process with the pid of one that has ended. */
async function startAt(pid: number): Promise<ChildProcess> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    writeFileSync("/proc/sys/kernel/ns_last_pid", String(pid - 1));
    const child = start();
    if (child.pid === pid) return child;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }
  throw new Error(`pid ${pid} was not given away again`);
}

const folder = mkdtempSync(join(tmpdir(), "dockline-pid-"));
try {
  const first = start({ CNI_CONTAINERID: containerId });
  const pid = first.pid ?? 0;
  await sleep(50);
  const known = readProcess(pid);
  if (known === undefined) throw new Error("the first process is not there");
  const ran = isRunning(known);
  writeFileSync(join(folder, "lock"), `${pid} ${known.startTicks}`);
  let held = "";
  try {
    lockFolder(folder).release();
  } catch (error) {
    held = (error as Error).message;
  }
  const gone = once(first, "exit");
  first.kill("SIGKILL");
  await gone;
  await sleep(50);

  const impostor = await startAt(pid);
  const answers = {
    ran,
    held: held.includes(String(pid)),
    samePid: impostor.pid === pid,
    stillRunning: isRunning(known),
    killedOfExec: await killExecTree(pid, containerId),
    endedPlugins: await endOrphanedPlugins(containerId),
    lockTaken: false,
    impostorLives: false,
  };
  lockFolder(folder);
  answers.lockTaken = readFileSync(join(folder, "lock"), "utf8").startsWith(`${process.pid} `);
  await sleep(100);
  answers.impostorLives = impostor.exitCode === null && impostor.signalCode === null;
  const ended = once(impostor, "exit");
  impostor.kill("SIGKILL");
  await ended;
  process.stdout.write(JSON.stringify(answers));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
