import { parseArgs } from "node:util";
import { parseDurationMs } from "../config/load.ts";
import { CriError } from "../errors.ts";
import { ImageService, RuntimeService } from "../gen/runtime/v1/api_pb.js";
import { unknownRpcs } from "../trace/filter.ts";
import type { TraceFilter } from "../trace/filter.ts";

export const traceUsage = `usage: dockline trace [options]

Shows each CRI call with the Docker requests, CNI plugins and waits it became.
Needs root.

  --pod POD          only this pod: name, namespace/name, or the beginning of an
                     id of the pod or of one of its containers; * at the end
  --rpc NAME,...     only these RPCs; * at the end: --rpc 'Stop*,Remove*'; ! in
                     front for all but these: --rpc '!Version,!List*'
  --writes           only RPCs that change something: no statuses, no lists, no
                     figures, no execs
  --over DURATION    only calls that took at least this long: 100ms, 2s
  --slowest          the slowest first, of each --window
  --top N            how many of them to show (10)
  --window DURATION  how long to gather for --slowest (10s)
  --for DURATION     end by itself after this time
  --json             one JSON object for each event (docs/trace.md)
  --record FILE      write the events to a new file as well
  --replay FILE      show a recording, or what --trace-file wrote
  --width COLUMNS    the terminal's width (80 where there is no terminal)
  --socket PATH      the daemon's trace socket (/run/dockline/trace.sock)
`;

export interface TraceArguments {
  filter: TraceFilter;
  /** How many of the slowest; undefined: everything as it comes. */
  slowest: number | undefined;
  windowMs: number;
  forMs: number | undefined;
  json: boolean;
  record: string | undefined;
  replay: string | undefined;
  width: number | undefined;
  socket: string;
}

const rpcNames = [RuntimeService, ImageService].flatMap(({ methods }) =>
  methods.map(({ name }) => name),
);

/** "help" for --help. Throws InvalidArgument. */
export function parseTraceArguments(
  args: readonly string[],
  environment: Record<string, string | undefined>,
): TraceArguments | "help" {
  const values = parsed(args);
  if (values.help === true) return "help";
  const duration = (flag: string, text: string): number => {
    const ms = parseDurationMs(`--${flag}`, text);
    if (ms > 0) return ms;
    throw new CriError("InvalidArgument", `--${flag}: want more than 0`);
  };
  const whole = (flag: string, text: string): number => {
    if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
    throw new CriError("InvalidArgument", `--${flag}=${text}: want a whole number from 1 to 9999`);
  };
  if (values.replay !== undefined && (values.record !== undefined || values.for !== undefined)) {
    throw new CriError("InvalidArgument", "--replay goes without --record and --for");
  }
  const { slowest = false, json = false } = values;
  const top = whole("top", values.top ?? "10");
  const windowMs = duration("window", values.window ?? "10s");
  if (!slowest && (values.window !== undefined || values.top !== undefined)) {
    throw new CriError("InvalidArgument", "--window and --top belong to --slowest");
  }
  return {
    filter: {
      ...(values.pod === undefined ? {} : { pod: values.pod }),
      ...(values.rpc === undefined ? {} : { rpcs: rpcsOf(values.rpc) }),
      ...(values.writes === true ? { writes: true } : {}),
      ...(values.over === undefined ? {} : { overMs: duration("over", values.over) }),
    },
    slowest: slowest ? top : undefined,
    windowMs,
    forMs: values.for === undefined ? undefined : duration("for", values.for),
    json,
    record: values.record,
    replay: values.replay,
    width: values.width === undefined ? undefined : whole("width", values.width),
    socket: values.socket ?? `${environment["DOCKLINE_RUN_DIR"] ?? "/run/dockline"}/trace.sock`,
  };
}

function parsed(args: readonly string[]) {
  const text = { type: "string" } as const;
  const on = { type: "boolean" } as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        help: { ...on, short: "h" },
        pod: text,
        rpc: text,
        writes: on,
        over: text,
        slowest: on,
        top: text,
        window: text,
        for: text,
        json: on,
        record: text,
        replay: text,
        width: text,
        socket: text,
      },
    }).values;
  } catch (cause) {
    // Node adds a hint about "--" on further lines.
    const message = cause instanceof Error ? (cause.message.split(/\. |\n/)[0] ?? "") : "";
    throw new CriError("InvalidArgument", message, { cause });
  }
}

function rpcsOf(text: string): string[] {
  const rpcs = text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  const [unknown] = unknownRpcs(rpcs, rpcNames);
  if (unknown !== undefined) {
    throw new CriError(
      "InvalidArgument",
      `--rpc: there is no RPC called ${JSON.stringify(unknown)}`,
    );
  }
  if (rpcs.length === 0) throw new CriError("InvalidArgument", "--rpc: no name is given");
  return rpcs;
}
