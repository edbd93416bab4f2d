import type { EndExec, ExecNotes } from "../engine/end-exec.ts";
import type { Engine } from "../engine/engine.ts";
import type { Logger } from "../log.ts";
import type { Clock } from "../sys/clock.ts";
import type { DiallerOptions } from "./dialler.ts";

/** What the streaming server and its sessions are given. */
export interface StreamingServerDeps {
  engine: Pick<
    Engine,
    | "createExec"
    | "startExec"
    | "inspectExec"
    | "resizeExec"
    | "attachContainer"
    | "resizeContainer"
    | "inspectContainer"
  >;
  /** "host:port"; default 127.0.0.1 and a random port. */
  bindAddress?: string;
  tls?: { certFile: string; keyFile: string } | undefined;
  /** Serves other machines without TLS. */
  allowInsecureBind?: boolean;
  /** Path of a sandbox's network namespace, undefined for the host's; throws when it is not ready. */
  sandboxNetns(podSandboxId: string): Promise<{ netns: string | undefined }>;
  endExec: EndExec;
  execNotes: ExecNotes;
  clock: Pick<Clock, "monotonicMs" | "sleep">;
  log: Logger;
  /** Goes before "/exec/…" instead of the listener's own address, without a slash at the end. */
  baseUrl?: string | undefined;
  /** Path of dockline-dial, the port-forward helper. Default: the one of this program. */
  dialProgram?: DiallerOptions["program"];
  /** How long a client has to open its streams. Default 30 s, as the Go server. */
  streamCreationTimeoutMs?: number;
}
