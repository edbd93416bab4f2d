import { CriError, type ErrorKind } from "../errors.ts";
import type { Field, FieldOwners } from "../gen/nri/v1alpha1/api_pb.js";
import type { RuntimeFeatures } from "./engine-facts.ts";
import { meets, type Requirement } from "./runtime-features.ts";
import { quoted } from "./field-checks.ts";

/** A field of an adjustment in the words of its interface, and its number and key there, which say whose it is. */
export interface FieldName {
  readonly name: string;
  readonly field?: Field;
  readonly key?: string;
}

/** Refuses in the name of the plugin that asked. */
export class Refusals {
  readonly #owners: FieldOwners | undefined;

  constructor(owners: FieldOwners | undefined) {
    this.#owners = owners;
  }

  /** `NRI plugin 10-injector: linux.net_devices "eth1": …` */
  of({ name, field, key }: FieldName, kind: ErrorKind, why: string): CriError {
    const at = key === undefined ? name : `${name} ${quoted(key)}`;
    return new CriError(kind, `NRI${this.#who(field, key)}: ${at}: ${why}`);
  }

  /** Runs a check that does not know of plugins. */
  within<Result>(field: FieldName, check: () => Result): Result {
    try {
      return check();
    } catch (error) {
      if (!(error instanceof CriError)) throw error;
      // The field has a name of NRI's own.
      throw this.of(field, error.kind, error.message.replace(/^[\w.]+(?:\[[^\]]*\])?: /, ""));
    }
  }

  /** @throws FailedPrecondition when the real runtime would pass over the field in silence */
  require(
    field: FieldName,
    features: RuntimeFeatures | undefined,
    requirement: Requirement,
    why: string,
  ): Requirement {
    if (meets(features, requirement)) return requirement;
    throw this.of(field, "FailedPrecondition", `the real runtime ${why}`);
  }

  #who(field: Field | undefined, key: string | undefined): string {
    if (field === undefined) return "";
    const { simple = {}, compound = {} } = this.#owners ?? {};
    const keys: Partial<Record<number, { owners: Partial<Record<string, string>> }>> = compound;
    const owner = simple[field] ?? (key === undefined ? undefined : keys[field]?.owners[key]);
    return owner === undefined ? "" : ` plugin ${owner.replace(/^-/, "")}`;
  }
}
