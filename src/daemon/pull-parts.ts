import type { Config } from "../config/options.ts";
import { credentialsIn } from "../convert/docker-config.ts";
import { mirroredRepositories } from "../convert/mirrors.ts";
import type { Mirrors } from "../convert/mirrors.ts";
import type { DockerEngine } from "../engine/docker-engine.ts";
import { createCredentialFile, firstWithCredentials } from "../images/credential-file.ts";
import type { Credentials } from "../images/credential-file.ts";
import { createImagePuller } from "../images/mirrored-pull.ts";
import type { ImagePuller } from "../images/mirrored-pull.ts";
import { createPuller } from "../images/pull.ts";
import type { Puller } from "../images/pull.ts";
import type { Logger } from "../log.ts";
import type { Clock } from "../sys/clock.ts";
import { dockersCredentials } from "./pause-parts.ts";

/** What pulls images. */
export interface PullParts {
  puller: Puller;
  /** With the node's credentials, for the kubelet. */
  imagePuller: ImagePuller;
  /** With Docker's own as well, for the pause image, which nobody sends credentials for. */
  pausePuller: ImagePuller;
}

export function buildPullers(
  config: Pick<Config, "imagePullProgressDeadline" | "registryAuthFile">,
  deps: { engine: DockerEngine; mirrors: Mirrors; clock: Clock; log: Logger },
): PullParts {
  const { engine, mirrors, clock, log } = deps;
  const puller = createPuller({
    engine,
    clock,
    progressDeadlineMs: config.imagePullProgressDeadline,
  });
  const imagePullerWith = (credentials: Credentials): ImagePuller =>
    createImagePuller({
      puller,
      engine,
      mirrorsOf: (repository) => mirroredRepositories(mirrors, repository),
      credentials,
      log,
    });
  const ofNode = createCredentialFile({ path: config.registryAuthFile, parse: credentialsIn, log });
  const ofDocker = dockersCredentials(log, process.env["HOME"] ?? "/root");
  return {
    puller,
    imagePuller: imagePullerWith(ofNode),
    pausePuller: imagePullerWith(firstWithCredentials([ofNode, ...ofDocker])),
  };
}
