import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import type { CallContext } from "../../../src/cri/bind.ts";
import { kindOf } from "../../../src/cri/status.ts";
import { CriError } from "../../../src/errors.ts";
import { CreateContainerRequestSchema } from "../../../src/gen/runtime/v1/api_pb.js";
import { listedEntry } from "../../../src/index/image-entry.ts";
import type { ImageEntry } from "../../../src/index/image-index.ts";
import { containerCreate } from "../../../src/rpc/container-create.ts";
import type { ContainerCreateDeps } from "../../../src/rpc/container-create.ts";
import { KeyedMutex } from "../../../src/sys/mutex.ts";
import { noHooks } from "../../../src/pods/hooks.ts";

const imageId = `sha256:${"a".repeat(64)}`;
const listed = listedEntry(
  {
    Id: imageId,
    RepoTags: ["a:1"],
    RepoDigests: [],
    Size: 1,
    Created: 1,
    Containers: 0,
    Labels: null,
  } as never,
  undefined,
  1,
);
const inspectedAs = (more: object): ImageEntry => ({
  ...listed,
  inspected: true,
  inspect: { ...listed.inspect, ...more },
});
const artifact = inspectedAs({ Os: "", RootFS: {} });
const image = inspectedAs({ Os: "linux", RootFS: { Layers: ["sha256:l"] } });

/** CreateContainer of an image of which the list, or an inspect, has told. */
async function createOf(
  peeked: ImageEntry,
  find: () => Promise<ImageEntry | undefined>,
  annotations: Record<string, string> = {},
) {
  let asked = 0;
  let facts = 0;
  const sandbox = { id: "p", inspect: {}, state: { Running: true, Pid: 7 } };
  const deps = {
    index: {
      find: () => Promise.resolve(sandbox),
      byName: () => Promise.resolve(undefined),
      images: {
        peek: () => peeked,
        find: () => {
          asked += 1;
          return find();
        },
      },
    },
    records: { byId: () => undefined },
    sandboxes: { claim: () => undefined },
    hooks: noHooks,
    locks: new KeyedMutex(),
    // The first is for the mounts; the second one's container is being described.
    facts: () =>
      (facts += 1) === 1
        ? Promise.resolve({ apiMinor: 47 })
        : Promise.reject(new CriError("ResourceExhausted", "the image was taken")),
  } as unknown as ContainerCreateDeps;
  const metadata = { name: "n", attempt: 0 };
  const request = create(CreateContainerRequestSchema, {
    podSandboxId: "p",
    config: { metadata, image: { image: imageId }, annotations },
    sandboxConfig: { metadata: { ...metadata, namespace: "d", uid: "u" } },
  });
  const context = { signal: new AbortController().signal } as CallContext;
  const outcome = await containerCreate(deps)
    .createContainer?.(request, context)
    .catch((error: unknown) => kindOf(error));
  return { outcome, asked };
}

describe("CreateContainer of an image that only the list has told of", () => {
  it("is refused where an inspect shows an OCI artifact", async () => {
    const seen = await createOf(listed, () => Promise.resolve(artifact));
    expect(seen).to.deep.equal({ outcome: "FailedPrecondition", asked: 1 });
  });

  it("goes on where an inspect shows an image, or Docker is too slow for one", async () => {
    const slow = (): Promise<never> => Promise.reject(new CriError("Unavailable", "slow"));
    for (const find of [() => Promise.resolve(image), slow]) {
      expect(await createOf(listed, find)).to.deep.equal({
        outcome: "ResourceExhausted",
        asked: 1,
      });
    }
  });

  it("is not begun where an annotation asks for a CDI device that is none", async () => {
    const never = (): Promise<never> => Promise.reject(new Error("not asked"));
    const seen = await createOf(listed, never, { "cdi.k8s.io/x": "gpu" });
    expect(seen).to.deep.equal({ outcome: "InvalidArgument", asked: 0 });
  });

  it("asks for none where there has been one", async () => {
    const never = (): Promise<never> => Promise.reject(new Error("not asked"));
    expect(await createOf(image, never)).to.deep.equal({ outcome: "ResourceExhausted", asked: 0 });
    expect(await createOf(artifact, never)).to.deep.equal({
      outcome: "FailedPrecondition",
      asked: 0,
    });
  });
});
