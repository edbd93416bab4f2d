/** Of a version of Dockline that was here before this one was taken back to: its file is not to be written over. */
export class NewerFile extends Error {
  constructor() {
    super("it was written by a newer version of dockline and is left alone");
  }
}

/**
 * @param version what a file says of its form
 * @throws NewerFile for a form that is newer than `known`
 */
export function refuseNewer(version: unknown, known: number): void {
  if (Number.isInteger(version) && (version as number) > known) throw new NewerFile();
}
