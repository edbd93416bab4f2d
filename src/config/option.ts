/** How an option's text becomes a value. Durations are milliseconds inside. */
export type OptionType = "string" | "boolean" | "integer" | "duration" | "list";

export interface Option {
  type: OptionType;
  /** Default value in text form, as it would be given on the command line. */
  default: string;
  help: string;
  /** Allowed values of a string option. */
  choices?: readonly string[];
  /** A name that cri-dockerd used for the same thing; accepted as a flag. */
  alias?: string;
  /** A right value for an error message, where the default is empty. */
  example?: string;
  /** Values that cri-dockerd takes and what they are here. */
  spellings?: Readonly<Record<string, string>>;
  group: "endpoints" | "network" | "images" | "logs" | "streaming" | "node" | "nri" | "diagnosis";
}
