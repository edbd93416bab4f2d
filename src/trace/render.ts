import type { About, CallEvent, EventStep, TraceEvent } from "./event.ts";
import { barOf, cut, cutMiddle, durationText, gaps, megabytes, plain, timeText } from "./text.ts";

/** Columns of a bar in 80, of a kind, of a status and of a duration; the step's name has what is left. */
const narrowBar = 18;
const kindWidth = 7;
const statusWidth = 4;
const timeWidth = 10;
const narrowest = 60;
/** Wider lines would be harder to follow, not say more. */
const widest = 140;

/** Of what a terminal has beyond 80 columns the bar gets half. */
const barWidthOf = (columns: number): number =>
  narrowBar + Math.max(0, Math.floor((columns - 80) / 2));

/** The lines that an event is shown as, none longer than `width`, of which 60 to 140 are used. */
export function renderEvent(event: TraceEvent, width = 80): string[] {
  const columns = Math.min(widest, Math.max(narrowest, width));
  switch (event.type) {
    case "call":
      return callLines(event, columns);
    case "running":
      return [
        headLine(
          event,
          laterThan(event.at, event.ageMs),
          `${durationText(event.ageMs)} so far`,
          columns,
        ),
        ...event.steps
          .filter(({ durationMs }) => durationMs === undefined)
          .map((step) => stepLine(step, event.ageMs, columns)),
      ];
    case "step":
      return [
        headLine(event, event.at, "after its end:", columns),
        stepLine(event.step, event.step.startMs + (event.step.durationMs ?? 0), columns),
      ];
    case "pull": {
      const { layersDone, layersTotal, downloadedBytes, totalBytes } = event;
      const bytes = `${megabytes(downloadedBytes)}/${megabytes(totalBytes)} MB`;
      const right = `${event.phase} ${layersDone}/${layersTotal} layers ${bytes} ${durationText(event.ageMs)}`;
      const left = `${timeText(event.at)} pull `;
      const image = plain(event.image);
      if (left.length + image.length + 1 + right.length <= columns) {
        return [sides(`${left}${image}`, right, columns)];
      }
      // The registry and the tag are both wanted, so it has a line of its own.
      return [`${left}${cutMiddle(image, columns - left.length)}`, sides("", right, columns)];
    }
    case "dropped":
      return [
        cut(`-- ${event.count} events are missing here: this reader was too slow --`, columns),
      ];
  }
}

/** The call's line, a line with a bar for each step, and one for the time between them. */
function callLines(call: CallEvent, columns: number): string[] {
  const lines = [headLine(call, call.at, `${durationText(call.durationMs)} ${call.code}`, columns)];
  if (call.steps.length === 0) return lines;
  lines.push(...call.steps.map((step) => stepLine(step, call.durationMs, columns)));
  if (call.stepsLeftOut !== undefined) lines.push(`  and ${call.stepsLeftOut} steps more`);
  const barWidth = barWidthOf(columns);
  const own = gaps(call.steps, call.durationMs);
  const ownMs = own.reduce((sum, [from, to]) => sum + to - from, 0);
  lines.push(
    row({
      kind: "own",
      name: "Dockline itself",
      status: "",
      bar: barOf(own, call.durationMs, barWidth),
      time: durationText(ownMs),
      columns,
    }),
  );
  return lines;
}

function stepLine(step: EventStep, wholeMs: number, columns: number): string {
  const endMs = step.durationMs === undefined ? wholeMs : step.startMs + step.durationMs;
  return row({
    kind: step.kind,
    name: plain(step.name),
    status: step.status === undefined ? "" : String(step.status),
    bar: barOf([[step.startMs, endMs]], wholeMs, barWidthOf(columns)),
    time: step.durationMs === undefined ? "open" : durationText(step.durationMs),
    columns,
  });
}

function row(cells: {
  kind: string;
  name: string;
  status: string;
  bar: string;
  time: string;
  columns: number;
}): string {
  const { kind, name, status, bar, time, columns } = cells;
  const nameWidth =
    columns - (2 + kindWidth + 1 + 1 + statusWidth + 1 + bar.length + 2 + 1 + timeWidth);
  return [
    ` `,
    kind.padEnd(kindWidth),
    cut(name, nameWidth).padEnd(nameWidth),
    status.padStart(statusWidth),
    `|${bar}|`,
    time.padStart(timeWidth),
  ].join(" ");
}

function headLine(
  event: About & { rpc: string },
  at: string,
  right: string,
  columns: number,
): string {
  return sides(`${timeText(at)} ${plain(event.rpc)} ${aboutText(event)}`, right, columns);
}

/** Whom a call is about: "namespace/pod [container]", or ids where there are no names, and the image. */
function aboutText({ pod, container, image }: About): string {
  const podName =
    pod?.name === undefined ? pod?.id?.slice(0, 12) : `${pod.namespace ?? ""}/${pod.name}`;
  const containerName = container?.name ?? container?.id?.slice(0, 12);
  return [image, podName, containerName === undefined ? undefined : `[${containerName}]`]
    .filter((part) => part !== undefined)
    .map(plain)
    .join(" ");
}

/** The right part keeps its place; the left one gives way. */
function sides(left: string, right: string, columns: number): string {
  const room = columns - right.length - 1;
  return `${cut(left, room).padEnd(room)} ${right}`;
}

const laterThan = (at: string, ms: number): string => new Date(Date.parse(at) + ms).toISOString();
