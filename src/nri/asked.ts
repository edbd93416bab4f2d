/** One question to a plugin, and how it ended. */
export interface Asked {
  readonly plugin: string;
  readonly event: string;
  readonly seconds: number;
  readonly outcome: "ok" | "error" | "no answer";
}
