import { join } from "node:path";
import type { Config } from "../config/options.ts";
import { credentialsIn, oldCredentialsIn } from "../convert/docker-config.ts";
import { lookupReference, pullTarget } from "../convert/image-ref.ts";
import type { DockerEngine } from "../engine/docker-engine.ts";
import { createCredentialFile } from "../images/credential-file.ts";
import type { Credentials } from "../images/credential-file.ts";
import { createPauseImage } from "../images/ensure-pause.ts";
import type { ImagePuller } from "../images/mirrored-pull.ts";
import { pauseImageArchive } from "../images/pause-image.ts";
import { pauseProgram } from "../images/pause-program.ts";
import type { ContainerIndex } from "../index/container-index.ts";
import type { Logger } from "../log.ts";
import type { PodDeps } from "../pods/deps.ts";

/**
 * The files in which cri-dockerd looks for credentials, which it needs for the pause image alone, in its
 * order. It takes them from its home and from its working folder, which is "/" for its service.
 *
 * @param home root's; a service has none in its environment
 */
export function dockersCredentials(log: Logger, home: string, root = "/"): Credentials[] {
  const file = (path: string, parse = credentialsIn): Credentials =>
    createCredentialFile({ path, parse, ofDocker: true, log });
  return [
    file(join(root, "config.json")),
    file(join(home, ".docker/config.json")),
    file(join(root, ".docker/config.json")),
    file(join(home, ".dockercfg"), oldCredentialsIn),
    file(join(root, ".dockercfg"), oldCredentialsIn),
  ];
}

/** The image of the pause container, as the configuration names it. */
export function pauseImage(
  config: Config,
  deps: { engine: DockerEngine; imagePuller: ImagePuller; index: ContainerIndex; log: Logger },
): PodDeps["pause"] {
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  const { repository, tagOrDigest } = pullTarget(config.podInfraContainerImage);
  return createPauseImage({
    ...deps,
    reference: lookupReference(config.podInfraContainerImage),
    target: { repository, tagOrDigest },
    archive: async (reference) =>
      pauseImageArchive({ binary: await pauseProgram(architecture), architecture, reference }),
    onChanged: () => deps.index.images.touched(),
    pullBudgetMs: 30_000,
  });
}
