import type { StreamingServer } from "../../src/streaming/server.ts";
import type { SpdyClient } from "./spdy-client.ts";
import { spdyUpgrade } from "./streaming-server.ts";

export const execRequest = {
  ...{ containerId: "c1", cmd: ["x"], tty: false, stdin: false, stdout: true, stderr: false },
};

/** An exec, with the streams that client-go opens for the request. */
export async function openExec(
  server: StreamingServer,
  request: Partial<typeof execRequest>,
  protocol?: string,
): Promise<{ client: SpdyClient; id: Record<string, number> }> {
  const full = { ...execRequest, ...request };
  const client = await spdyUpgrade(server, server.execUrl(full), protocol);
  const id: Record<string, number> = { error: client.open({ streamtype: "error" }) };
  for (const name of ["stdin", "stdout", "stderr"] as const) {
    if (full[name]) id[name] = client.open({ streamtype: name });
  }
  if (full.tty) id["resize"] = client.open({ streamtype: "resize" });
  return { client, id };
}

/** What came on the error stream. */
export function statusOf(client: SpdyClient, id: Record<string, number>): Record<string, unknown> {
  return JSON.parse(client.received(id["error"]!).text) as Record<string, unknown>;
}
