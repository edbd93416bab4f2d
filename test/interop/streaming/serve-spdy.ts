/** SPDY frames and streams without HTTP: every stream sends back what it gets. */
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { silentLogger } from "../../../src/log.ts";
import { SpdyConnection } from "../../../src/streaming/spdy/connection.ts";

const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  const connection = new SpdyConnection(socket, {
    log: silentLogger,
    onStream: (stream) => {
      switch (stream.headers.get("x-do")) {
        case "refuse":
          return false;
        case "close":
          stream.end();
          void connection.close();
          return true;
        case "headers":
          stream.end(JSON.stringify([...stream.headers]));
          stream.resume();
          return true;
        default:
          stream.pipe(stream);
          return true;
      }
    },
  });
});
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
process.stdin.resume().on("end", () => process.exit(0));
