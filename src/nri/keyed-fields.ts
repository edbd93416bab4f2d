import type { Field } from "../gen/nri/v1alpha1/api_pb.js";
import type { PluginName } from "./adjust.ts";
import { emptyMap, removed, type Owners } from "./owners.ts";

/** Who sets something of which container. */
export interface Claim {
  readonly owners: Owners;
  readonly id: string;
  readonly plugin: PluginName;
}

/** What a list with keys, or a map, is: its entries' keys, which may be marked, and where they are kept. */
export interface Keyed<Entry> {
  readonly field: Field;
  readonly key: (entry: Entry) => string;
  readonly asked: readonly Entry[];
  readonly collected: readonly Entry[];
  readonly shown: readonly Entry[];
  readonly keep: (collected: Entry[], shown: Entry[]) => void;
}

/**
 * Removal drops what an earlier plugin set, which makes the field the remover's; the mark itself is collected where
 * nothing takes the removed entry's place, as the container may have one of its own.
 */
export function keyed<Entry>({ owners, id, plugin }: Claim, kind: Keyed<Entry>): void {
  const { field, key, asked } = kind;
  if (asked.length === 0) return;
  const gone = new Set(asked.flatMap((entry) => removed(key(entry)) ?? []));
  const added = asked.filter((entry) => removed(key(entry)) === undefined);
  const touched = new Set([...gone, ...added.map(key)]);
  for (const entry of kind.collected) {
    if (gone.has(key(entry))) owners.clear(id, field, plugin, key(entry));
  }
  for (const entry of added) owners.claim(id, field, plugin, key(entry));
  const names = new Set(added.map(key));
  const marks = new Map(
    asked.flatMap((entry) => {
      const name = removed(key(entry));
      return name === undefined || names.has(name) ? [] : [[name, entry]];
    }),
  );
  kind.keep(
    [
      ...kind.collected.filter((entry) => !touched.has(removed(key(entry)) ?? key(entry))),
      ...added,
      ...marks.values(),
    ],
    [...kind.shown.filter((entry) => !touched.has(key(entry))), ...added],
  );
}

export type Pair<Value> = readonly [key: string, value: Value];

export const pairs = <Value>(map: Readonly<Record<string, Value>> | undefined): Pair<Value>[] =>
  Object.keys(map ?? {}).map((key) => [key, (map as Record<string, Value>)[key] as Value]);

export function mapOf<Value>(entries: readonly Pair<Value>[]): Record<string, Value> {
  const map = emptyMap<Value>();
  for (const [key, value] of entries) map[key] = value;
  return map;
}

export const keyOfPair = ([key]: Pair<unknown>): string => key;
