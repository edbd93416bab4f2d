import type Docker from "dockerode";
import type { Engine } from "./engine.ts";
import { hijackedOf, objectWith } from "./requests.ts";
import type { Requests } from "./requests.ts";
import { pathSegment } from "./route.ts";
import type { ExecInspect } from "./types.ts";

type ExecCalls = Pick<Engine, "createExec" | "startExec" | "inspectExec" | "resizeExec">;

export function execCalls(requests: Requests): ExecCalls {
  return {
    createExec: (containerId, body, options) => {
      const operation = "create exec";
      return requests.run(
        { operation, lane: "exec", budgetMs: 60_000, options },
        async (docker) => {
          const container = docker.getContainer(pathSegment("container", containerId, operation));
          const exec = await container.exec({ _body: body } as Docker.ExecCreateOptions);
          return objectWith<{ id: string }>(operation, "id", exec).id;
        },
      );
    },

    startExec: (execId, tty, options) => {
      const operation = "start exec";
      return requests.run(
        { operation, lane: "long", budgetMs: 60_000, options },
        async (docker) => {
          const exec = docker.getExec(pathSegment("exec", execId, operation));
          const start = { hijack: true, _body: { Detach: false, Tty: tty } };
          return hijackedOf(operation, await exec.start(start));
        },
      );
    },

    inspectExec: (execId, options) => {
      const operation = "inspect exec";
      return requests.run(
        { operation, lane: "inspectExec", budgetMs: 10_000, options },
        async (docker) =>
          objectWith<ExecInspect>(
            operation,
            "ID",
            await docker.getExec(pathSegment("exec", execId, operation)).inspect(),
          ),
      );
    },

    resizeExec: async (execId, width, height) => {
      const operation = "resize exec";
      await requests.run(
        { operation, lane: "exec", budgetMs: 10_000, options: undefined },
        (docker) =>
          docker
            .getExec(pathSegment("exec", execId, operation))
            .resize({ _query: { w: width, h: height } }),
      );
    },
  };
}
