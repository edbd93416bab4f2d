/** Who an object is in CRI terms, read back from its name and labels. */
export interface CriIdentity {
  readonly kind: "podsandbox" | "container";
  /** Full id of the pod sandbox; for a sandbox "". */
  readonly podSandboxId: string;
}
