import type { PodDeps } from "./deps.ts";
import { removeOrLeave } from "./ending.ts";
import type { MadeContainer } from "./hooks.ts";
import { readIdentity } from "../convert/labels.ts";
import { isUncertain } from "../engine/errors.ts";
import { errorText } from "../errors.ts";
import { failpoint } from "../sys/failpoint.ts";

/**
 * Makes a container in Docker and tells those who listen of it. Nobody else sees it before they have agreed; when one
 * refuses, nothing is left of it. After an error that leaves open whether there is one, its name is still hidden.
 *
 * @throws EngineError, and CriError when somebody refuses
 */
export async function createAndTell(
  deps: PodDeps,
  wanted: Omit<MadeContainer, "id">,
): Promise<string> {
  const { hooks } = deps;
  // What was refused, and is still there under this name, stays hidden.
  const isTaken = hooks.isBeingMade(wanted.name);
  hooks.hide(wanted.name);
  let id: string;
  try {
    ({ id } = await deps.engine.createContainer(wanted.name, wanted.body));
  } catch (error) {
    // Docker may have made one without saying so: whoever asks for it reveals it.
    if (!isTaken && !isUncertain(error)) hooks.reveal(wanted.name);
    throw error;
  }
  failpoint("create.after-create");
  deps.index.created(id, wanted.name, wanted.body);
  await tellOfCreated(deps, { ...wanted, id });
  return id;
}

/** The same for one that Docker has made without saying so. */
export async function tellOfCreated(deps: PodDeps, made: MadeContainer): Promise<void> {
  const { hooks } = deps;
  // Whoever begins to listen after this moment finds it, whoever listens in this moment is informed.
  // A label that says that somebody was to be asked is true only with a note of what they said.
  const { nri } = readIdentity({ name: made.name, labels: made.body.Labels })?.extra ?? {};
  if (!hooks.active && nri !== true) {
    hooks.reveal(made.name);
    return;
  }
  hooks.hide(made.name);
  try {
    await hooks.containerCreate(made);
  } catch (error) {
    // Until it is gone nobody is to see it, and so for good where it cannot be removed.
    const removed = await removeOrLeave(deps, made.id).catch((why: unknown) => {
      deps.log.warn(
        { containerId: made.id, error: errorText(why) },
        "a container that was refused cannot be removed",
      );
      return false;
    });
    if (removed) hooks.reveal(made.name);
    throw error;
  }
  await hooks.containerCreated(made);
}
