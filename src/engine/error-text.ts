/** More of an error body than this is not read. */
export const maxErrorBodyBytes = 64 << 10;
const maxTextLength = 1024;
/** Redaction runs over a bounded text, so that no body can make its expressions slow. */
const maxScannedLength = 4096;

/**
 * A password's name with its value. Not the end of an absolute path with what the kernel says of it:
 * `"/etc/passwd": not a directory`.
 */
const SECRETS =
  /\b(?=password|passwd|secret|token|auth)(?<!(?:^|[\s"'(=]|:(?=\/[^/]))\/[^\s"':=?&]{0,512}(?=\w{4,8}["']?:\s[^"']))(password|passwd|secret|token|auth)(["']?\s?[=:]\s?["']?)[^\s"',;&}]+/gi;

/** What stands before the last part of a repository's name: "team/", "reg.example:5000/a/my-". */
const REPOSITORY = /(?:^|[\s"'(=,])(?:[a-z0-9][a-z0-9._-]*(?::\d{1,5})?\/)+(?:[a-z0-9]+[._-]+)*$/;
/** Words of the engine that an image's short name follows. */
const IMAGE = /\b(?:image:?|manifest for|reference:?) ["']?(?:[a-z0-9]+[._-]+)*$/i;
/** "username/password:…" is a pair of words, not a repository. */
const PAIR = /\b(?:user|username|name|login)\/$/i;
/** A tag, perhaps with a digest, and what a sentence may put after it. */
const TAG = /^\w[\w.-]{0,127}(?:@sha\d{3}:[0-9a-f]{1,128})?[:).\]]{0,2}$/;
const longestRepository = 300;

/**
 * One short line out of an error answer of the engine, or of a proxy in front of it, without
 * credentials. `statusText` stands in where the body says nothing that a person would read.
 */
export function errorBodyText(body: string, contentType: string, statusText: string): string {
  const text = body.trim();
  if (text.startsWith("<") || /html/i.test(contentType)) return `${statusText} (an HTML page)`;
  if (text.startsWith("{")) {
    const message = jsonMessage(text);
    return message === undefined ? statusText : oneLine(message);
  }
  return text === "" ? statusText : oneLine(text);
}

/**
 * Engine text on one line of at most 1024 characters. URLs lose user info and query (signed
 * download links of registries), authorization values and passwords are masked.
 */
export function oneLine(text: string): string {
  const line = text
    .slice(0, maxScannedLength)
    .replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ")
    .replaceAll(/(:\/\/)[^\s/@"']{1,512}@/g, "$1***@")
    .replaceAll(/(:\/\/[^\s?"'<>]{1,512})\?[^\s"'<>]*/g, "$1?***")
    // "no basic auth credentials" is a registry's sentence, not a credential.
    .replaceAll(/\b(bearer|basic) {1,64}(?!auth|token|realm)[\w.~+/=-]+/gi, "$1 ***")
    .replaceAll(SECRETS, (match: string, name: string, sign: string, at: number, all: string) =>
      isImage(all.slice(Math.max(0, at - longestRepository), at), match, name, sign)
        ? match
        : `${name}${sign}***`,
    )
    .trim();
  if (line.length <= maxTextLength) return line;
  return `${line.slice(0, maxTextLength - 1).replace(/[\ud800-\udbff]$/, "")}…`;
}

/** "team/token:v1" is an image and its tag, which is what the message is about. */
function isImage(before: string, match: string, name: string, sign: string): boolean {
  return (
    sign === ":" &&
    name === name.toLowerCase() &&
    TAG.test(match.slice(name.length + 1)) &&
    ((REPOSITORY.test(before) && !PAIR.test(before)) || IMAGE.test(before))
  );
}

function jsonMessage(text: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { message } = value as { message?: unknown };
  return typeof message === "string" && message !== "" ? message : undefined;
}
