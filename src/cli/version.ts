import { connect, serviceClient } from "../cri/client.ts";
import { errorText } from "../errors.ts";
import { RuntimeService } from "../gen/runtime/v1/api_pb.js";
import { version } from "../version.ts";
import { endpointOf } from "./arguments.ts";

/** `dockline version`: our own version and, when a server answers, the engine's behind it. */
export async function printVersion(args: readonly string[]): Promise<number> {
  const { endpoint, rest, help } = endpointOf(args);
  if (help || rest.length > 0) {
    process.stdout.write(
      "usage: dockline version [--endpoint ENDPOINT]\n\n" +
        "Prints Dockline's version and, when a server answers, the engine's behind it.\n\n" +
        "  --endpoint   where the CRI is served (unix:///run/dockline/dockline.sock)\n",
    );
    return help ? 0 : 2;
  }
  process.stdout.write(`dockline ${version} (node ${process.versions.node})\n`);
  const connection = connect(endpoint);
  try {
    const answer = await serviceClient(connection, RuntimeService).version({}, { timeoutMs: 2000 });
    process.stdout.write(
      `server at ${endpoint}: ${answer.runtimeName} ${answer.runtimeVersion}, engine API ${answer.runtimeApiVersion}\n`,
    );
  } catch (error) {
    process.stdout.write(`server at ${endpoint}: no answer (${errorText(error)})\n`);
  } finally {
    connection.close();
  }
  return 0;
}
