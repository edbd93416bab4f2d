import { EngineError } from "./errors.ts";

const fixed = new Set(["create", "json", "load", "prune", "search", "get"]);

/**
 * The path as metrics and traces show it: without API version and query, ids and names replaced.
 * Image names may hold slashes, but are escaped by then, so a segment is a segment.
 */
export function routeOf(path: string): string {
  const end = path.indexOf("?");
  const segments = (end < 0 ? path : path.slice(0, end)).split("/").slice(1);
  if (/^v\d+\.\d+$/.test(segments[0] ?? "")) segments.shift();
  const [family, subject, ...rest] = segments;
  if (subject === undefined || !["containers", "images", "exec"].includes(family ?? "")) {
    return `/${segments.join("/")}`;
  }
  if (rest.length === 0 && fixed.has(subject) && family !== "exec") {
    return `/${segments.join("/")}`;
  }
  return `/${[family, family === "images" ? "{name}" : "{id}", ...rest].join("/")}`;
}

/**
 * An id or name as one path segment. What Docker's router would read as another route (an empty
 * name, dot segments, also inside an image name) cannot be the name of anything, so the answer is
 * Docker's own 404 without asking it.
 */
export function pathSegment(noun: string, idOrName: string, operation: string): string {
  const plain = idOrName.startsWith("/") ? idOrName.slice(1) : idOrName;
  const odd = plain
    .split("/")
    .some(
      (part) => part === "" || part === "." || part === ".." || /[\u0000-\u001f\u007f]/.test(part),
    );
  if (odd || (noun !== "image" && plain.includes("/")) || /\p{Surrogate}/u.test(plain)) {
    throw new EngineError({
      failure: "status",
      status: 404,
      operation,
      message: `${operation}: no such ${noun}: ${JSON.stringify(idOrName.slice(0, 128))}`,
    });
  }
  return encodeURIComponent(plain);
}
