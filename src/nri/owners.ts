import { create } from "@bufbuild/protobuf";
import { CriError } from "../errors.ts";
import {
  CompoundFieldOwnersSchema,
  Field,
  FieldOwnersSchema,
  OwningPluginsSchema,
} from "../gen/nri/v1alpha1/api_pb.js";
import type { OwningPlugins } from "../gen/nri/v1alpha1/api_pb.js";
import type { PluginName } from "./adjust.ts";

/** Before a key: what is to be removed. Before an owner: who removed it and has not set it again. */
export const removal = "-";

/** The key behind a removal's mark; undefined for a key without one. */
export function removed(key: string): string | undefined {
  return key.startsWith(removal) ? key.slice(removal.length) : undefined;
}

/** A map that takes any key, `__proto__` included. */
export function emptyMap<Value>(): Record<string, Value> {
  return Object.create(null) as Record<string, Value>;
}

type Claims = Map<Field, Map<string, PluginName>>;
/** Fields that have one owner are kept under it; no key of a compound field is compared with it. */
const whole = "";

/**
 * Who set what, for each container that one event's answers name. A field has one owner, and one with keys has one for
 * each key. A plugin that wants to override another one removes what it set first; then it alone may set it again.
 */
export class Owners {
  #simple = new Map<string, Claims>();
  #compound = new Map<string, Claims>();

  /** @throws FailedPrecondition naming both plugins and the field; also when they are the same one */
  claim(id: string, field: Field, plugin: PluginName, key?: string): void {
    const other = this.#of(id, field, key);
    if (other !== undefined && other !== `${removal}${plugin}`) {
      const name = `${Field[field]}${key === undefined ? "" : ` ${JSON.stringify(key)}`}`;
      const by = removed(other) ?? other;
      throw new CriError(
        "FailedPrecondition",
        `NRI plugins "${plugin}" and "${by}" both tried to set ${name}`,
      );
    }
    this.#put(id, field, plugin, key);
  }

  /** After it only this plugin can claim the field. */
  clear(id: string, field: Field, plugin: PluginName, key?: string): void {
    this.#put(id, field, `${removal}${plugin}`, key);
  }

  /** Hooks of several plugins are no conflict: their owner is "10-a,20-b". */
  join(id: string, field: Field, plugin: PluginName): void {
    const before = this.#of(id, field, undefined);
    this.#put(id, field, before === undefined ? plugin : `${before},${plugin}`, undefined);
  }

  /** Returns what takes back all that is claimed from now on. */
  save(): () => void {
    const before = { simple: copy(this.#simple), compound: copy(this.#compound) };
    return () => {
      this.#simple = before.simple;
      this.#compound = before.compound;
    };
  }

  /** As validators get it. */
  message(): OwningPlugins {
    const owning = create(OwningPluginsSchema);
    owning.owners = emptyMap();
    for (const id of new Set([...this.#simple.keys(), ...this.#compound.keys()])) {
      const of = create(FieldOwnersSchema);
      for (const [field, owners] of this.#simple.get(id) ?? []) {
        of.simple[field] = owners.get(whole) ?? "";
      }
      for (const [field, keys] of this.#compound.get(id) ?? []) {
        const compound = create(CompoundFieldOwnersSchema);
        compound.owners = emptyMap();
        for (const [key, plugin] of keys) compound.owners[key] = plugin;
        of.compound[field] = compound;
      }
      owning.owners[id] = of;
    }
    return owning;
  }

  #of(id: string, field: Field, key: string | undefined): PluginName | undefined {
    const claims = key === undefined ? this.#simple : this.#compound;
    return claims
      .get(id)
      ?.get(field)
      ?.get(key ?? whole);
  }

  #put(id: string, field: Field, plugin: string, key: string | undefined): void {
    const claims = key === undefined ? this.#simple : this.#compound;
    const ofContainer: Claims = claims.get(id) ?? new Map<Field, Map<string, PluginName>>();
    const ofField = ofContainer.get(field) ?? new Map<string, PluginName>();
    ofField.set(key ?? whole, plugin);
    ofContainer.set(field, ofField);
    claims.set(id, ofContainer);
  }
}

/** Runs a change of several things; when it throws, each of `undo` is called and all is as before. */
export function allOrNothing(undo: readonly (() => void)[], change: () => void): void {
  try {
    change();
  } catch (error) {
    for (const restore of undo) restore();
    throw error;
  }
}

const copy = (claims: ReadonlyMap<string, Claims>): Map<string, Claims> =>
  new Map(
    [...claims].map(([id, fields]) => [
      id,
      new Map([...fields].map(([field, keys]) => [field, new Map(keys)])),
    ]),
  );
