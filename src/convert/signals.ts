import { invalidArgument } from "../errors.ts";
import { Signal } from "../gen/runtime/v1/api_pb.js";

const RTMIN = 34;
const RTMAX = 64;

/** Linux numbers of the signals that the CRI names (x86-64 and arm64 agree). */
const NUMBERS: readonly (readonly [number, Signal])[] = [
  [1, Signal.SIGHUP],
  [2, Signal.SIGINT],
  [3, Signal.SIGQUIT],
  [4, Signal.SIGILL],
  [5, Signal.SIGTRAP],
  [6, Signal.SIGABRT],
  [7, Signal.SIGBUS],
  [8, Signal.SIGFPE],
  [9, Signal.SIGKILL],
  [10, Signal.SIGUSR1],
  [11, Signal.SIGSEGV],
  [12, Signal.SIGUSR2],
  [13, Signal.SIGPIPE],
  [14, Signal.SIGALRM],
  [15, Signal.SIGTERM],
  [16, Signal.SIGSTKFLT],
  [17, Signal.SIGCHLD],
  [18, Signal.SIGCONT],
  [19, Signal.SIGSTOP],
  [20, Signal.SIGTSTP],
  [21, Signal.SIGTTIN],
  [22, Signal.SIGTTOU],
  [23, Signal.SIGURG],
  [24, Signal.SIGXCPU],
  [25, Signal.SIGXFSZ],
  [26, Signal.SIGVTALRM],
  [27, Signal.SIGPROF],
  [28, Signal.SIGWINCH],
  [29, Signal.SIGIO],
  [30, Signal.SIGPWR],
  [31, Signal.SIGSYS],
];

/** The CRI's stop signal → Docker's StopSignal; undefined leaves the image's. */
export function toDockerSignal(signal: Signal): string | undefined {
  if (signal === Signal.RUNTIME_DEFAULT) return undefined;
  const name = Signal[signal] as string | undefined;
  if (name === undefined)
    throw invalidArgument(`stop_signal: ${signal} is not a signal of the CRI`);
  // The CRI spells the real-time ones SIGRTMINPLUS3 and SIGRTMAXMINUS3.
  return name.replace("PLUS", "+").replace("MINUS", "-");
}

/**
 * The signal that Docker would send on stop → the CRI's. Images write it as "SIGTERM", "TERM" or
 * "15"; none is SIGTERM. RUNTIME_DEFAULT for what the CRI has no word for.
 */
export function fromDockerSignal(stopSignal: string | undefined): Signal {
  const text = (stopSignal ?? "").trim().toUpperCase();
  if (text === "") return Signal.SIGTERM;
  if (/^[0-9]{1,2}$/.test(text)) return fromNumber(Number(text));
  const name = (text.startsWith("SIG") ? text : `SIG${text}`)
    .replace("+", "PLUS")
    .replace("-", "MINUS");
  return Object.hasOwn(Signal, name) ? Signal[name as keyof typeof Signal] : Signal.RUNTIME_DEFAULT;
}

function fromNumber(number: number): Signal {
  if (number >= RTMIN && number <= RTMAX) {
    const up = number - RTMIN;
    // glibc counts the upper half down from SIGRTMAX, and the CRI has words for either half only.
    return up <= 15
      ? fromDockerSignal(up === 0 ? "SIGRTMIN" : `SIGRTMIN+${up}`)
      : fromDockerSignal(number === RTMAX ? "SIGRTMAX" : `SIGRTMAX-${RTMAX - number}`);
  }
  return NUMBERS.find(([known]) => known === number)?.[1] ?? Signal.RUNTIME_DEFAULT;
}
