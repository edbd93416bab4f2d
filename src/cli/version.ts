import { connect, serviceClient } from "../cri/client.ts";
import { errorText } from "../errors.ts";
import { RuntimeService } from "../gen/runtime/v1/api_pb.js";
import { complain } from "../sys/terminal.ts";
import { version } from "../version.ts";
import { endpointOf } from "./arguments.ts";

const usage = `usage: dockline version [--client] [-o FORMAT] [--endpoint ENDPOINT]

Prints Dockline's version, and the one of the engine behind the server.

  --client            this program's own version alone; no server is asked
  -o, --output FORMAT text (default) or json
  --endpoint ENDPOINT where the CRI is served
                      (unix:///run/dockline/dockline.sock)

Exit code: 0 done; 1 the server does not answer; 2 the command line is wrong.
`;

/** What the server said, or why it did not. */
interface Server {
  endpoint: string;
  runtimeName?: string;
  runtimeVersion?: string;
  engineApiVersion?: string;
  error?: string;
}

/** `dockline version`. Exit codes: 0 done, 1 no server answers, 2 the command line is wrong. */
export async function printVersion(
  args: readonly string[],
  print: (text: string) => void = (text) => void process.stdout.write(text),
): Promise<number> {
  const { endpoint, rest, help } = endpointOf(args);
  if (help) {
    print(usage);
    return 0;
  }
  const choice = choiceOf(rest);
  if (typeof choice === "string") {
    complain(`version: ${choice}; see dockline version --help`);
    return 2;
  }
  const client = { version, node: process.versions.node };
  const server = choice.clientOnly ? undefined : await askServer(endpoint);
  if (choice.json) {
    const answer = server === undefined ? { client } : { client, server };
    print(`${JSON.stringify(answer, null, 2)}\n`);
  } else {
    print(`dockline ${client.version} (node ${client.node})\n`);
    if (server !== undefined) print(`server at ${endpoint}: ${serverText(server)}\n`);
  }
  return server?.error === undefined ? 0 : 1;
}

/** What was asked for, or what is wrong with it. */
function choiceOf(args: readonly string[]): { clientOnly: boolean; json: boolean } | string {
  const choice = { clientOnly: false, json: false };
  for (let at = 0; at < args.length; at += 1) {
    const [flag = "", attached] = (args[at] ?? "").split(/=(.*)/s);
    if (flag === "--client" && attached === undefined) choice.clientOnly = true;
    else if (flag === "-o" || flag === "--output") {
      const format = attached ?? args[(at += 1)] ?? "";
      if (format !== "json" && format !== "text") {
        return `${flag} ${JSON.stringify(format)}: want json or text`;
      }
      choice.json = format === "json";
    } else return `unknown argument ${JSON.stringify(args[at])}`;
  }
  return choice;
}

async function askServer(endpoint: string): Promise<Server> {
  const connection = connect(endpoint);
  try {
    const answer = await serviceClient(connection, RuntimeService).version({}, { timeoutMs: 2000 });
    return {
      endpoint,
      runtimeName: answer.runtimeName,
      runtimeVersion: answer.runtimeVersion,
      engineApiVersion: answer.runtimeApiVersion,
    };
  } catch (error) {
    return { endpoint, error: errorText(error) };
  } finally {
    connection.close();
  }
}

function serverText(server: Server): string {
  return server.error === undefined
    ? `${server.runtimeName} ${server.runtimeVersion}, engine API ${server.engineApiVersion}`
    : `no answer (${server.error})`;
}
