import type { Handlers } from "../cri/bind.ts";
import { CriError, invalidArgument, notFound } from "../errors.ts";
import type { RuntimeService } from "../gen/runtime/v1/api_pb.js";
import type { ContainerIndex } from "../index/container-index.ts";
import type { StreamingServer } from "../streaming/server.ts";
import { runningContainer } from "./exec-sync.ts";

/** Exec, Attach, PortForward: they validate and hand out a one-time URL, nothing more. */
export function streamingUrls(deps: {
  index: ContainerIndex;
  streaming: StreamingServer;
}): Pick<Handlers<typeof RuntimeService>, "exec" | "attach" | "portForward"> {
  return {
    exec: async (request) => {
      checkStreams(request, "exec");
      if (request.cmd.length === 0) throw invalidArgument("exec: no command given");
      const { id } = await runningContainer(deps.index, request.containerId, "exec");
      const { cmd, tty, stdin, stdout, stderr } = request;
      return { url: deps.streaming.execUrl({ containerId: id, cmd, tty, stdin, stdout, stderr }) };
    },
    attach: async (request) => {
      checkStreams(request, "attach");
      const { id } = await runningContainer(deps.index, request.containerId, "attach");
      const { tty, stdin, stdout, stderr } = request;
      return { url: deps.streaming.attachUrl({ containerId: id, tty, stdin, stdout, stderr }) };
    },
    portForward: async (request) => {
      if (request.podSandboxId === "")
        throw invalidArgument("port-forward: pod sandbox id is empty");
      for (const port of request.port) {
        if (port < 1 || port > 65535) {
          throw invalidArgument(`port-forward: port ${port} is not between 1 and 65535`);
        }
      }
      const sandbox = await deps.index.find("podsandbox", request.podSandboxId);
      if (sandbox === undefined) {
        throw notFound(`port-forward: no pod sandbox ${request.podSandboxId}`);
      }
      if (!sandbox.state.Running) {
        throw new CriError(
          "FailedPrecondition",
          `port-forward: pod sandbox ${sandbox.id} is not running`,
        );
      }
      return {
        url: deps.streaming.portForwardUrl({ podSandboxId: sandbox.id, ports: [...request.port] }),
      };
    },
  };
}

function checkStreams(
  request: { tty: boolean; stdin: boolean; stdout: boolean; stderr: boolean },
  what: string,
): void {
  if (!request.stdin && !request.stdout && !request.stderr) {
    throw invalidArgument(`${what}: one of stdin, stdout and stderr must be set`);
  }
  // A terminal has one output: the CRI forbids asking for two.
  if (request.tty && request.stderr)
    throw invalidArgument(`${what}: tty and stderr exclude each other`);
}
