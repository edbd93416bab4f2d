import { request } from "node:http";

/** The engine that the suite runs on: the machine's own, or a lane's. */
export const engineSocket = (
  process.env["DOCKLINE_TEST_DOCKER_SOCKET"] ?? "/var/run/docker.sock"
).replace(/^unix:\/\//, "");

/** What the engine answers to a GET of this path, straight from its socket. */
export function engineGet(path: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath: engineSocket, path }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (part: string) => (text += part));
      answer.on("end", () => {
        resolve(JSON.parse(text));
      });
    });
    call.on("error", reject).end();
  });
}
