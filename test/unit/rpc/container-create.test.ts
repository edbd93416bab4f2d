import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import { configHash } from "../../../src/convert/config-hash.ts";
import type { CallContext } from "../../../src/cri/bind.ts";
import { kindOf } from "../../../src/cri/status.ts";
import { CriError } from "../../../src/errors.ts";
import {
  ContainerConfigSchema,
  CreateContainerRequestSchema,
} from "../../../src/gen/runtime/v1/api_pb.js";
import { listedEntry } from "../../../src/index/image-entry.ts";
import type { ImageEntry } from "../../../src/index/image-index.ts";
import { containerCreate } from "../../../src/rpc/container-create.ts";
import type { ContainerCreateDeps } from "../../../src/rpc/container-create.ts";
import { systemClock } from "../../../src/sys/clock.ts";
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
  /** Docker has one of the same request already: refused, or usable. */
  existing?: "refused" | "usable",
) {
  const metadata = { name: "n", attempt: 0 };
  const request = create(CreateContainerRequestSchema, {
    podSandboxId: "p",
    config: { metadata, image: { image: imageId }, annotations },
    sandboxConfig: { metadata: { ...metadata, namespace: "d", uid: "u" } },
  });
  const { config = create(ContainerConfigSchema) } = request;
  const hash = configHash(ContainerConfigSchema, config, "p");
  const container = {
    ...{ id: "c", name: "k8s_n", identity: { extra: { hash } } },
    state: { Status: "created", ExitCode: 0, Running: false },
  };
  const removed: string[] = [];
  let asked = 0;
  let facts = 0;
  const sandbox = { id: "p", inspect: {}, state: { Running: true, Pid: 7 } };
  const deps = {
    index: {
      find: (kind: string) => Promise.resolve(kind === "container" ? container : sandbox),
      byName: () => Promise.resolve(existing === undefined ? undefined : container),
      peek: () => undefined,
      removed: () => undefined,
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
    hooks: {
      ...noHooks,
      isBeingMade: (name: string) => existing === "refused" && name === "k8s_n",
    },
    engine: { removeContainer: (id: string) => Promise.resolve(void removed.push(id)) },
    logs: { remove: () => Promise.resolve() },
    clock: systemClock,
    locks: new KeyedMutex(),
    // The first is for the mounts; the second one's container is being described.
    facts: () =>
      (facts += 1) === 1
        ? Promise.resolve({ apiMinor: 47 })
        : Promise.reject(new CriError("ResourceExhausted", "the image was taken")),
  } as unknown as ContainerCreateDeps;
  const context = { signal: new AbortController().signal } as CallContext;
  const outcome = await containerCreate(deps)
    .createContainer?.(request, context)
    .catch((error: unknown) => kindOf(error));
  return { outcome, asked, ...(removed.length > 0 ? { removed } : {}) };
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

describe("CreateContainer of what Docker has already", () => {
  const never = (): Promise<never> => Promise.reject(new Error("not asked"));

  it("takes what the same request made, but nothing that was refused and is still there", async () => {
    expect(await createOf(image, never, {}, "usable")).to.deep.equal({
      outcome: { containerId: "c" },
      asked: 0,
    });
    expect(await createOf(image, never, {}, "refused")).to.deep.equal({
      outcome: "ResourceExhausted",
      asked: 0,
      removed: ["c"],
    });
  });
});
