import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import { isTimeout } from "../../cri/call-error.ts";
import { errorText } from "../../errors.ts";
import type { ProbeAction } from "./plan.ts";
import type { PlayRuntime, ProbeResult, ProbeTarget } from "./services.ts";

const redirects = 10;
const wordsLimit = 200;

const failure = (text: string): ProbeResult => ({ outcome: "failure", text });
const success: ProbeResult = { outcome: "success", text: "" };

/** Probes as the kubelet does: commands in the container, HTTP and TCP from the node to the pod. */
export function prober(
  runtime: Pick<PlayRuntime, "execSync">,
): (action: ProbeAction, target: ProbeTarget) => Promise<ProbeResult> {
  return async (action, target) => {
    if (action.kind === "exec") return await probeByExec(runtime, action.command, target);
    const host = action.host === "" ? target.address : action.host;
    if (action.kind === "tcp") return await probeByTcp(host, action.port, target.timeoutMs);
    const shown = host.includes(":") ? `[${host}]` : host;
    const url = new URL(`${action.scheme.toLowerCase()}://${shown}:${action.port}${action.path}`);
    return await probeByHttp(url, action.headers, AbortSignal.timeout(target.timeoutMs), redirects);
  };
}

async function probeByExec(
  runtime: Pick<PlayRuntime, "execSync">,
  cmd: string[],
  { containerId, timeoutMs }: ProbeTarget,
): Promise<ProbeResult> {
  try {
    const timeout = BigInt(Math.ceil(timeoutMs / 1000));
    const { exitCode, stdout, stderr } = await runtime.execSync({ containerId, cmd, timeout });
    if (exitCode === 0) return success;
    const output = Buffer.concat([stderr, stdout]).toString("utf8");
    const words = errorText(output).slice(0, wordsLimit);
    return failure(`${cmd[0] ?? ""} ended with ${exitCode}${words === "" ? "" : `: ${words}`}`);
  } catch (error) {
    if (isTimeout(error)) return failure(`${cmd[0] ?? ""} took longer than ${timeoutMs / 1000} s`);
    return { outcome: "unknown", text: errorText(error) };
  }
}

function probeByTcp(host: string, port: number, timeoutMs: number): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (result: ProbeResult): void => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(timeoutMs, () => end(failure(`port ${port}: no answer`)));
    socket.on("connect", () => end(success));
    socket.on("error", (error) => end(failure(errorText(error))));
  });
}

/** Redirects are followed on the same host; one to another host is a success, since this one answers. */
async function probeByHttp(
  url: URL,
  headers: Record<string, string>,
  signal: AbortSignal,
  left: number,
): Promise<ProbeResult> {
  let answer: { code: number; location: string | undefined };
  try {
    answer = await get(url, headers, signal);
  } catch (error) {
    return failure(signal.aborted ? `${url.href}: no answer in time` : errorText(error));
  }
  const { code, location } = answer;
  if (code < 200 || code >= 400) return failure(`${url.href} answers with ${code}`);
  if (code < 300 || location === undefined) return success;
  const next = URL.parse(location, url.href);
  if (next === null || next.hostname !== url.hostname || !/^https?:$/.test(next.protocol)) {
    return success;
  }
  if (left === 0) return failure(`${url.href}: more than ${redirects} redirects`);
  return await probeByHttp(next, headers, signal, left - 1);
}

function get(
  url: URL,
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<{ code: number; location: string | undefined }> {
  const all = { "User-Agent": "dockline-play", Accept: "*/*", Connection: "close", ...headers };
  return new Promise((resolve, reject) => {
    // As for the kubelet, a certificate is the pod's own and proves nothing to a probe.
    const request =
      url.protocol === "https:"
        ? httpsRequest(url, { headers: all, signal, agent: false, rejectUnauthorized: false })
        : httpRequest(url, { headers: all, signal, agent: false });
    request.on("response", (response) => {
      response.resume();
      resolve({ code: response.statusCode ?? 0, location: response.headers.location });
      request.destroy();
    });
    request.on("error", reject);
    request.end();
  });
}
