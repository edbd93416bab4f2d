import { createHash } from "node:crypto";
import type { ImageInspect, ImageSummary } from "../../src/engine/image-types.ts";
import { refuse } from "./fake-errors.ts";

export interface FakeImage {
  id: string;
  /** Full names: "docker.io/library/busybox:1". */
  tags: Set<string>;
  /** "registry/repo@sha256:…". */
  digests: Set<string>;
  labels: Record<string, string>;
  user: string;
  size: number;
  createdAtNs: bigint;
}

export interface FakeImageSpec {
  references: string[];
  digests?: string[];
  labels?: Record<string, string>;
  user?: string;
  size?: number;
}

/** "busybox" → "docker.io/library/busybox:latest", the way Docker completes a name. */
export function fullName(reference: string): string {
  const at = reference.indexOf("@");
  const name = at < 0 ? reference : reference.slice(0, at);
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const hasHost = first.includes(".") || first.includes(":") || first === "localhost";
  const path = hasHost ? name : `docker.io/${slash < 0 ? "library/" : ""}${name}`;
  if (at >= 0) return path + reference.slice(at);
  return path.lastIndexOf(":") > path.lastIndexOf("/") ? path : `${path}:latest`;
}

/** The shortened form that Docker lists. */
function familiar(name: string): string {
  return name.replace(/^docker\.io\/(library\/)?/, "");
}

/** The images of the fake engine, and what its registry would serve. */
export class FakeImages {
  readonly byId = new Map<string, FakeImage>();
  /** Images that a pull finds, by full name. */
  readonly registry = new Map<string, FakeImageSpec>();
  readonly #nowNs: () => bigint;
  readonly #onEvent: (action: string, id: string, name: string) => void;

  constructor(nowNs: () => bigint, onEvent: (action: string, id: string, name: string) => void) {
    this.#nowNs = nowNs;
    this.#onEvent = onEvent;
  }

  /** Puts an image there as a build or a load would. The id follows from the specification. */
  add(spec: FakeImageSpec): FakeImage {
    const hash = createHash("sha256").update(JSON.stringify(spec)).digest("hex");
    const id = `sha256:${hash}`;
    let image = this.byId.get(id);
    if (image === undefined) {
      image = {
        id,
        tags: new Set(),
        digests: new Set(spec.digests ?? []),
        labels: spec.labels ?? {},
        user: spec.user ?? "",
        size: spec.size ?? 1_000_000,
        createdAtNs: this.#nowNs(),
      };
      this.byId.set(id, image);
    }
    for (const reference of spec.references) this.#tag(image, fullName(reference));
    return image;
  }

  find(reference: string): FakeImage | undefined {
    const bare = reference.replace(/^sha256:/, "");
    if (/^[0-9a-f]{4,64}$/.test(bare)) {
      for (const image of this.byId.values()) {
        if (image.id.slice("sha256:".length).startsWith(bare)) return image;
      }
    }
    const name = fullName(reference);
    for (const image of this.byId.values()) {
      if (image.tags.has(name)) return image;
      for (const digest of image.digests) if (fullName(digest) === name) return image;
    }
    return undefined;
  }

  get(reference: string, operation: string): FakeImage {
    const image = this.find(reference);
    if (image === undefined) throw refuse(404, operation, `No such image: ${reference}`);
    return image;
  }

  tag(reference: string, repository: string, tag: string): void {
    const image = this.get(reference, "tag image");
    const name = fullName(`${repository}:${tag}`);
    this.#tag(image, name);
    this.#onEvent("tag", image.id, familiar(name));
  }

  /** `users` are the containers made from the image: they forbid what `force` allows. */
  remove(
    reference: string,
    options: { force: boolean; users: (image: FakeImage) => string[] },
  ): void {
    const operation = "remove image";
    const image = this.get(reference, operation);
    const name = fullName(reference);
    const named = image.tags.has(name) || [...image.digests].some((d) => fullName(d) === name);
    const names = image.tags.size + image.digests.size;
    const [user] = options.users(image);
    if (!named && image.tags.size > 1 && !options.force) {
      const short = image.id.slice(7, 19);
      throw refuse(
        409,
        operation,
        `conflict: unable to delete ${short} (must be forced) - image is referenced in multiple repositories`,
      );
    }
    if (user !== undefined && (!named || names <= 1) && !options.force) {
      throw refuse(
        409,
        operation,
        `conflict: unable to remove repository reference "${reference}" (must force) - container ${user.slice(0, 12)} is using its referenced image ${image.id.slice(7, 19)}`,
      );
    }
    if (named) {
      image.tags.delete(name);
      for (const digest of image.digests)
        if (fullName(digest) === name) image.digests.delete(digest);
    } else {
      image.tags.clear();
      image.digests.clear();
    }
    this.#onEvent("untag", image.id, image.id);
    if (image.tags.size > 0 || user !== undefined) return;
    this.byId.delete(image.id);
    this.#onEvent("delete", image.id, image.id);
  }

  /** True when the registry has it; the image is there afterwards. */
  pull(reference: string): boolean {
    const name = fullName(reference);
    const spec = this.registry.get(name);
    if (spec === undefined) return false;
    this.add({ ...spec, references: name.includes("@") ? spec.references : [name] });
    this.#onEvent("pull", familiar(name), familiar(name));
    return true;
  }

  list(): ImageSummary[] {
    return [...this.byId.values()].map((image) => ({
      Id: image.id,
      RepoTags: image.tags.size === 0 ? ["<none>:<none>"] : [...image.tags].map(familiar),
      RepoDigests: [...image.digests].map(familiar),
      Created: Number(image.createdAtNs / 1_000_000_000n),
      Size: image.size,
      Labels: { ...image.labels },
    }));
  }

  inspect(reference: string): ImageInspect {
    const image = this.get(reference, "inspect image");
    return {
      Id: image.id,
      RepoTags: [...image.tags].map(familiar),
      RepoDigests: [...image.digests].map(familiar),
      Created: new Date(Number(image.createdAtNs / 1_000_000n)).toISOString(),
      Size: image.size,
      Architecture: "amd64",
      Os: "linux",
      Config: {
        User: image.user,
        Env: [],
        Cmd: null,
        Entrypoint: null,
        Labels: { ...image.labels },
      },
      GraphDriver: { Name: "overlay2", Data: {} },
      RootFS: { Type: "layers", Layers: [image.id] },
    };
  }

  #tag(image: FakeImage, name: string): void {
    for (const other of this.byId.values()) other.tags.delete(name);
    image.tags.add(name);
  }
}
