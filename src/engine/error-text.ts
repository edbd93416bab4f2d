/** More of an error body than this is not read. */
export const maxErrorBodyBytes = 64 << 10;
const maxTextLength = 1024;
/** Redaction runs over a bounded text, so that no body can make its expressions slow. */
const maxScannedLength = 4096;

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
    .replaceAll(
      /\b(password|passwd|secret|token|auth)(["']?\s?[=:]\s?["']?)[^\s"',;&}]+/gi,
      "$1$2***",
    )
    .trim();
  if (line.length <= maxTextLength) return line;
  return `${line.slice(0, maxTextLength - 1).replace(/[\ud800-\udbff]$/, "")}…`;
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
