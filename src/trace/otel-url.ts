import { invalidArgument } from "../errors.ts";

/**
 * Where spans are sent: the collector's address as it is usually written, with the path of OTLP.
 *
 * @throws InvalidArgument for what is no http URL, and for one with credentials in it
 */
export function tracesUrl(endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol)) {
    throw invalidArgument("want http://host:4318 or https://…");
  }
  if (url.username !== "" || url.password !== "" || url.search !== "") {
    // `dockline config` and the log show the endpoint.
    throw invalidArgument(
      "no credentials in it; OTEL_EXPORTER_OTLP_HEADERS in the daemon's environment carries them",
    );
  }
  if (!url.pathname.endsWith("/v1/traces")) {
    url.pathname = `${url.pathname.replace(/\/$/, "")}/v1/traces`;
  }
  return url.href;
}
