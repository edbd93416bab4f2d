import { expect } from "chai";
import { status as GrpcCode } from "@grpc/grpc-js";
import { gzipSync } from "node:zlib";
import { imageParts } from "../../scripts/image-archive.ts";
import { usesContainerdStore } from "../../src/convert/pinned.ts";
import { plainFile, pushArtifact } from "../support/artifact.ts";
import type { Artifact } from "../support/artifact.ts";
import { expectError } from "../support/containers.ts";
import { failure, removeImagesOf } from "../support/images.ts";
import { containerConfig, createContainer } from "../support/pods.ts";
import { startRegistry } from "../support/registry.ts";
import type { TestRegistry } from "../support/registry.ts";
import { sharedPod } from "../support/shared-pod.ts";

describe("an OCI artifact", () => {
  const shared = sharedPod();
  let registry: TestRegistry;
  const forms = new Map<string, Artifact>();

  before(async () => {
    registry = await startRegistry();
    const files = [{ path: "f", content: "in a layer\n" }];
    const { layer } = await imageParts({ references: [], files });
    const mediaType = "application/vnd.oci.image.layer.v1.tar+gzip";
    forms.set("of a plain file", plainFile);
    forms.set("of an older tool", {
      ...plainFile,
      configType: "application/vnd.unknown.config.v1+json",
    });
    forms.set("of a layer", { ...plainFile, layers: [{ mediaType, content: gzipSync(layer) }] });
    forms.set("with an image's configuration", {
      ...plainFile,
      configType: "application/vnd.oci.image.config.v1+json",
    });
  });
  after(() => registry.close());

  for (const [at, name] of [
    "of a plain file",
    "of an older tool",
    "of a layer",
    "with an image's configuration",
  ].entries()) {
    it(`${name} is refused with that word, as a volume or as an image, without a second pull`, async () => {
      const { node, pod } = shared;
      const repository = `artifact-${at}`;
      await pushArtifact(registry.host, repository, "1", forms.get(name)!);
      const image = `${registry.host}/${repository}:1`;
      const store = usesContainerdStore(await node.docker.info());
      node.proxy.reset();
      const pulled = await node.images.pullImage({ image: { image } }).catch(() => undefined);
      expect(node.proxy.count(/^POST \/images\/create/)).to.equal(1);
      if (pulled === undefined) {
        const error = await failure(node.images.pullImage({ image: { image } }));
        expect(error.code).to.equal(GrpcCode.UNKNOWN);
        expect(error.details).to.match(/OCI artifact, which is not supported/);
      } else expect(store).to.equal(true);
      const mounts = [{ containerPath: "/v", readonly: true, image: { image } }];
      const create = createContainer(node, pod, containerConfig("true", { mounts }));
      if (store) {
        await expectError(
          create,
          "UNIMPLEMENTED",
          /ImageVolumeMountFailed: .*OCI artifact .* is not supported/,
        );
      } else await expectError(create, "NOT_FOUND", /ImageVolumeMountFailed: .*no image/);
      if (pulled !== undefined) {
        await expectError(
          createContainer(
            node,
            pod,
            containerConfig("true", { image: { image: pulled.imageRef } }),
          ),
          "FAILED_PRECONDITION",
          /is an OCI artifact/,
        );
      }
      await removeImagesOf(node, registry.host);
    });
  }
});
