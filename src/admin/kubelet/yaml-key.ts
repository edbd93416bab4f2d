import { isMap, isScalar, parseDocument } from "yaml";
import type { Document } from "yaml";

/** The string of a key at the top of a YAML or JSON document; undefined when it is missing or empty. */
export function readKey(text: string, key: string): string | undefined {
  const document = parse(text);
  const value: unknown = isMap(document?.contents) ? document.get(key) : undefined;
  return typeof value === "string" && value !== "" ? value : undefined;
}

/**
 * The text with that key set to a string, everything else byte for byte as it was. Throws for a text
 * that is no YAML mapping, and where the key cannot be set without touching the rest.
 */
export function writeKey(text: string, key: string, value: string): string {
  const document = parse(text);
  if (document === undefined) throw new Error("it is not a YAML document of keys and values");
  const edited = insert(text, document, key, value);
  if (readKey(edited, key) !== value)
    throw new Error(`${key} cannot be set in it: edit it by hand`);
  return edited;
}

function insert(text: string, { contents }: Document.Parsed, key: string, value: string): string {
  const quoted = JSON.stringify(value);
  const old: unknown = isMap(contents) ? contents.get(key, true) : undefined;
  if (isScalar(old) && old.range) {
    const [start, end] = old.range;
    const plain = old.type === "PLAIN" && start !== end;
    const space = text[start - 1] === ":" ? " " : "";
    return text.slice(0, start) + space + (plain ? value : quoted) + text.slice(end);
  }
  if (isMap(contents) && contents.flow === true) {
    const start = contents.range[0] + 1;
    const comma = contents.items.length === 0 ? "" : ",";
    return `${text.slice(0, start)}"${key}":${quoted}${comma}${text.slice(start)}`;
  }
  const end = text === "" || text.endsWith("\n") ? "" : "\n";
  return `${text}${end}${key}: ${quoted}\n`;
}

function parse(text: string): Document.Parsed | undefined {
  const document = parseDocument(text, { logLevel: "silent" });
  if (document.errors.length > 0) return undefined;
  // An empty file has no contents, and takes a first key.
  return document.contents === null || isMap(document.contents) ? document : undefined;
}
