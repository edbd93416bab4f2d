/** Stands in for ssh2 in the bundle: nothing of Dockline's ever asks for it. */
export function Client(): never {
  throw new Error("engines over ssh are not supported");
}
