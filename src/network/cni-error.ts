/**
 * Why a plugin call failed: `plugin` it said so itself; `missing` no binary; `untrusted` a binary or
 * folder that every user may write; `protocol` its output is no CNI answer; `result` its
 * answer cannot serve a pod; the rest as in ProcessError.
 */
export type CniFailure =
  "plugin" | "missing" | "untrusted" | "protocol" | "result" | "spawn" | "timeout" | "aborted";

/** CNI's own error code for "this container is unknown, there is nothing to clean up". */
export const unknownContainerCode = 3;

/** CNI's own error code for "something is in the way that will pass, try again later". */
export const tryAgainCode = 11;

/** A CNI plugin call that failed. The message names plugin, verb and cause on one line. */
export class CniError extends Error {
  override readonly name = "CniError";
  readonly plugin: string;
  readonly verb: string;
  readonly failure: CniFailure;
  /** The `code` of the plugin's error object (CNI spec section 5), if it sent one. */
  readonly code: number | undefined;
  /** No folder has a program of that type: it cannot work again before somebody installs it. */
  readonly absent: boolean;
  constructor(
    about: {
      plugin: string;
      verb: string;
      failure: CniFailure;
      code?: number;
      absent?: boolean;
    },
    text: string,
    options?: { cause?: unknown },
  ) {
    const code = about.code === undefined ? "" : ` (code ${about.code})`;
    super(`CNI plugin ${about.plugin} ${about.verb}: ${text}${code}`, options);
    this.plugin = about.plugin;
    this.verb = about.verb;
    this.failure = about.failure;
    this.code = about.code;
    this.absent = about.absent ?? false;
  }
}

/** True when the plugin has come to an end with the error: it was not cut short by a deadline or by us. */
export function isPluginsWord(error: unknown): boolean {
  return error instanceof CniError && error.failure !== "timeout" && error.failure !== "aborted";
}
