/** Where the commands look for a server unless told otherwise. */
const defaultEndpoint = "unix:///run/dockline/dockline.sock";

/** Takes `--endpoint` and `--help` out of a command's arguments. */
export function endpointOf(args: readonly string[]): {
  endpoint: string;
  rest: string[];
  help: boolean;
} {
  let endpoint = process.env["DOCKLINE_CONTAINER_RUNTIME_ENDPOINT"] ?? defaultEndpoint;
  let help = false;
  const rest: string[] = [];
  for (let at = 0; at < args.length; at += 1) {
    const argument = args[at] ?? "";
    if (argument === "--help" || argument === "-h") help = true;
    else if (argument === "--endpoint") {
      at += 1;
      endpoint = args[at] ?? "";
    } else if (argument.startsWith("--endpoint=")) endpoint = argument.slice("--endpoint=".length);
    else rest.push(argument);
  }
  return { endpoint, rest, help };
}
