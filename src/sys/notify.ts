import { runProcess } from "./process.ts";

const timeoutMs = 5_000;

/**
 * Tells systemd that a unit of Type=notify is up; nothing where no NOTIFY_SOCKET is given. By
 * systemd's own program: Node has no datagram sockets of the unix kind. It speaks in the name of its
 * parent, so that NotifyAccess=main is enough. Rejects when systemd cannot be reached.
 */
export async function notifyReady(
  environment: Readonly<Record<string, string | undefined>>,
  program = "systemd-notify",
): Promise<void> {
  const socket = environment["NOTIFY_SOCKET"];
  if (socket === undefined || socket === "") return;
  const { exitCode, stderr } = await runProcess(program, ["--ready"], {
    env: { NOTIFY_SOCKET: socket, PATH: "/usr/bin:/bin" },
    timeoutMs,
    step: { kind: "process", name: "systemd-notify" },
  });
  if (exitCode !== 0) throw new Error(`systemd-notify ended with ${exitCode}: ${stderr.trim()}`);
}
