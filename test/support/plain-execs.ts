import { request } from "node:http";
import type { ClientRequest, IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { busybox } from "./test-images.ts";

/** What Docker by itself makes of execs of one container that all start in one moment. */
export interface PlainExecs {
  /** Seconds until all of them had ended and could be inspected; undefined: not within the time. */
  allDone: number | undefined;
  /** Most inspects of them at once that got no answer within two seconds. */
  hanging: number;
}

const inspectMs = 2_000;

/**
 * Starts `count` execs of `true` through the engine's own API, without anything of Dockline, in a
 * container of its own that is removed again.
 */
export async function plainExecs(
  socketPath: string,
  count: number,
  waitMs: number,
): Promise<PlainExecs> {
  const ask = (method: string, path: string, body?: object): ClientRequest => {
    const text = body === undefined ? "" : JSON.stringify(body);
    const headers = { "content-type": "application/json", "content-length": text.length };
    const asked = request({ socketPath, method, path, agent: false, headers });
    asked.end(text);
    return asked;
  };
  const call = async (method: string, path: string, body?: object, timeoutMs = 60_000) => {
    const asked = ask(method, path, body);
    asked.setTimeout(timeoutMs, () => asked.destroy(new Error("no answer")));
    const answer = await new Promise<IncomingMessage>((resolve, reject) =>
      asked.once("response", resolve).once("error", reject),
    );
    let text = "";
    for await (const chunk of answer.setEncoding("utf8")) text += chunk as string;
    return (text === "" ? {} : JSON.parse(text)) as { Id: string; Running: boolean };
  };

  const { Id } = await call("POST", "/containers/create", {
    ...{ Image: busybox, Cmd: ["sleep", "1000"], HostConfig: { NetworkMode: "none" } },
  });
  await call("POST", `/containers/${Id}/start`);
  try {
    const execs: string[] = [];
    const create = { Cmd: ["true"], AttachStdout: true, AttachStderr: true };
    while (execs.length < count) {
      execs.push((await call("POST", `/containers/${Id}/exec`, create)).Id);
    }
    const began = performance.now();
    for (const exec of execs) {
      // What it says, and that it ends with the engine, is not looked at.
      ask("POST", `/exec/${exec}/start`, { Detach: false, Tty: false })
        .on("response", (answer) => answer.resume())
        .on("error", () => undefined);
    }
    let hanging = 0;
    while (performance.now() - began < waitMs) {
      await sleep(500);
      const looks = await Promise.all(
        execs.map((exec) =>
          call("GET", `/exec/${exec}/json`, undefined, inspectMs).then(
            ({ Running }) => (Running ? "runs" : "ended"),
            () => "hangs",
          ),
        ),
      );
      hanging = Math.max(hanging, looks.filter((look) => look === "hangs").length);
      if (looks.every((look) => look === "ended")) {
        return { allDone: (performance.now() - began) / 1000, hanging };
      }
    }
    return { allDone: undefined, hanging };
  } finally {
    await call("DELETE", `/containers/${Id}?force=1`).catch(() => undefined);
  }
}
