import { writeFileSync } from "node:fs";
import { tempFolder } from "./temp-folder.ts";

/** The name of the place at which Dockline is killed (src/sys/failpoint.ts), to be changed while it runs. */
export interface FailpointFile {
  /** For every start of Dockline. */
  readonly environment: Record<string, string>;
  /** From now on; "" is nowhere. */
  arm(place: string): void;
  remove(): void;
}

export function failpointFile(): FailpointFile {
  const folder = tempFolder();
  const path = folder.path("failpoint");
  const arm = (place: string): void => writeFileSync(path, place);
  arm("");
  return { environment: { DOCKLINE_FAILPOINT: path }, arm, remove: () => folder.remove() };
}
