/** Stands in for ssh2 in the bundle: nothing of Dockline's ever asks for it. */
export class Client {
  constructor() {
    throw new Error("engines over ssh are not supported");
  }
}
