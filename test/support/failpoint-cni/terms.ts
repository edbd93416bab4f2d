/** What a state file holds. */
export interface FailpointState {
  /** Verb, or `*`, to terms joined by `->`. */
  failpoints?: Record<string, string>;
  calls?: FailpointCall[];
}

export interface FailpointCall {
  verb: string;
  containerId: string;
  netns: string;
  args: string;
  /** Names of the variables that the plugin got. */
  environment: string[];
  config: Record<string, unknown>;
}

export interface Term {
  action: string;
  argument: string;
}

/** The term that is due, and the text with one use of it taken off. Throws for an unknown action. */
export function takeTerm(text: string): { term: Term | undefined; rest: string } {
  const [first = "", ...others] = text.split("->").filter((part) => part !== "");
  if (first === "") return { term: undefined, rest: "" };
  const match = /^(?:(\d+)\*)?([a-z-]+)(?:\((.*)\))?$/s.exec(first);
  const action = match?.[2] ?? "";
  if (!actions.has(action)) throw new Error(`not a failpoint: ${first}`);
  const argument = match?.[3] ?? "";
  const count = match?.[1] === undefined ? Infinity : Number(match[1]);
  if (count === 0) return takeTerm(others.join("->"));
  const body = match?.[3] === undefined ? action : `${action}(${argument})`;
  const left = count === Infinity ? [first] : count > 1 ? [`${count - 1}*${body}`] : [];
  return { term: { action, argument }, rest: [...left, ...others].join("->") };
}

const actions = new Set([
  "error",
  "try-again",
  "late-error",
  "panic",
  "garbage",
  "empty",
  "huge",
  "delay",
  "off",
]);
