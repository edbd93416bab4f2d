import type { Image } from "../../gen/runtime/v1/api_pb.js";
import type { PlannedContainer } from "./plan.ts";

/**
 * Refuses what `runAsNonRoot` forbids: root, by the manifest or by the image, and an image's user by
 * name, which may be root.
 */
export function requireNonRoot(
  { nonRoot, config }: Pick<PlannedContainer, "nonRoot" | "config">,
  image: Pick<Image, "uid" | "username"> | undefined,
): void {
  if (!nonRoot) return;
  const given = config.linux?.securityContext?.runAsUser?.value;
  if (given !== undefined) {
    if (given === 0n) throw new Error("runAsNonRoot: runAsUser is 0, which is root");
    return;
  }
  if (image?.uid !== undefined) {
    if (image.uid.value === 0n) throw new Error("runAsNonRoot: the image runs as root");
    return;
  }
  const name = image?.username ?? "";
  throw new Error(
    name === ""
      ? "runAsNonRoot: the image runs as root"
      : `runAsNonRoot: the image's user ${name} may be root; give runAsUser`,
  );
}
