/** Kinds of hooks in an OCI spec, as CDI and NRI name them too, in the order in which the runtime runs them. */
export const hookKinds = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
] as const;
