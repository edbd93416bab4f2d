import type { ImageUserFacts } from "../convert/run-as.ts";
import { needsImageAccounts, requireRunAs, wantsFixedIds } from "../convert/run-as.ts";
import type { ImageAccounts } from "../convert/user.ts";
import { errorText, notFound } from "../errors.ts";
import type { ContainerConfig } from "../gen/runtime/v1/api_pb.js";
import type { ImageIndex } from "../index/image-index.ts";
import type { Logger } from "../log.ts";

export interface ImageUserDeps {
  index: { readonly images: Pick<ImageIndex, "find" | "peek"> };
  /** /etc/passwd and /etc/group of an image, read once for each image id. */
  imageAccounts(imageId: string): Promise<ImageAccounts>;
  log: Logger;
}

/**
 * What the image says about the user that a container asks for, as far as it matters.
 *
 * @throws InvalidArgument for ids and names that are none; NotFound and EngineError where the request
 *   cannot be carried out without the image's files
 */
export async function imageUserFacts(
  deps: ImageUserDeps,
  config: ContainerConfig,
): Promise<ImageUserFacts> {
  const runAs = config.linux?.securityContext;
  requireRunAs(runAs);
  const required = needsImageAccounts(runAs);
  const reference = config.image?.image ?? "";
  try {
    const known = deps.index.images.peek(reference);
    const image = known?.inspected === true ? known : await deps.index.images.find(reference);
    if (image === undefined) throw notFound(`create container: no image ${reference} on this node`);
    const user = image.inspect.Config?.User;
    if (!required && !wantsFixedIds(runAs, user)) return { user: user ?? "" };
    return { user, accounts: await deps.imageAccounts(image.id), fixed: true };
  } catch (error) {
    if (required) throw error;
    // Docker resolves the user itself then, and says by itself what is missing.
    deps.log.warn(
      { image: reference, error: errorText(error) },
      "the users of the image could not be read",
    );
    return {};
  }
}
