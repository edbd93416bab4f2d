import { EngineError } from "./errors.ts";

export type ApiVersion = readonly [major: number, minor: number];

/** Before 1.41 (Docker 20.10) pods cannot be given a cgroup namespace or a platform. */
const oldest: ApiVersion = [1, 41];
/** The newest API whose answers we know. */
const newest: ApiVersion = [1, 56];

const operation = "negotiate API version";

/** Reads "1.47"; undefined for anything else. */
export function parseApiVersion(text: string | undefined): ApiVersion | undefined {
  const match = /^(\d{1,4})\.(\d{1,4})$/.exec(text ?? "");
  return match === null ? undefined : [Number(match[1]), Number(match[2])];
}

/** The version to speak with an engine whose newest is `offered` (the ping's Api-Version header). */
export function chooseApiVersion(offered: string | undefined): ApiVersion {
  const engine = parseApiVersion(offered);
  if (engine === undefined) {
    const message = `${operation}: the endpoint does not answer like a docker engine`;
    throw new EngineError({ failure: "protocol", operation, message });
  }
  if (isBefore(engine, oldest)) {
    const message =
      `${operation}: the engine's API ${engine.join(".")} is too old, ` +
      `${oldest.join(".")} (docker 20.10) or newer is needed`;
    throw new EngineError({ failure: "protocol", operation, message });
  }
  return isBefore(engine, newest) ? engine : newest;
}

function isBefore(a: ApiVersion, b: ApiVersion): boolean {
  return a[0] !== b[0] ? a[0] < b[0] : a[1] < b[1];
}

/** True for the engine's refusal of our version: it was exchanged for another one under us. */
export function isVersionRefusal(error: unknown): boolean {
  return (
    error instanceof EngineError &&
    error.status === 400 &&
    /client version [\d.]+ is too (?:new|old)/i.test(error.message)
  );
}
