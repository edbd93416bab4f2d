import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ImageSpec } from "../../scripts/image-archive.ts";
import { manifestType, registryImage } from "./registry-image.ts";
import type { RegistryImage } from "./registry-image.ts";

/** The only account of a registry with a password; the password must turn up nowhere else. */
export const account = { username: "puller", password: "canary-3f9a1c7e5b" };
const htpasswd = "puller:$2y$05$osVe.yWZIUXWkkEubHH9Je9Ztx4A3UwfVjVUmu.eDSEwgkxuwH336\n";

/**
 * Engines trust every registry on 127.0.0.0/8 whatever its certificate says, so one with TLS gets an
 * address of the range for documentation, on the loopback device.
 */
const tlsAddress = "198.51.100.7";

export interface TestRegistry {
  /** "127.0.0.1:34567", the first part of image names. */
  readonly host: string;
  /** Puts an image there under each of the tags, through the registry's own API. */
  push(
    name: string,
    tags: string[],
    image: Omit<ImageSpec, "references"> | RegistryImage,
  ): Promise<RegistryImage>;
  /** With TLS: its CA is not registered with the engine any more. */
  distrust(): void;
  /** Stops it, the files stay; nothing listens on its port any more. */
  stop(): Promise<void>;
  close(): Promise<void>;
}

/** Debian's docker-registry (package docker-registry) on a port of its own. */
export async function startRegistry(
  options: { password?: boolean; tls?: boolean } = {},
): Promise<TestRegistry> {
  const folder = await mkdtemp(join(tmpdir(), "dockline-registry-"));
  const address = options.tls === true ? tlsAddress : "127.0.0.1";
  if (options.tls === true) ip("add");
  const port = await freePort(address);
  const host = `${address}:${port}`;
  const trusted = join("/etc/docker/certs.d", host);
  const ca = options.tls === true ? makeCertificate(folder, address) : undefined;
  if (ca !== undefined) {
    mkdirSync(trusted, { recursive: true });
    writeFileSync(join(trusted, "ca.crt"), ca);
  }
  writeFileSync(join(folder, "htpasswd"), htpasswd);
  // JSON is YAML.
  writeFileSync(
    join(folder, "config.yml"),
    JSON.stringify({
      version: 0.1,
      log: { level: "error", accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(folder, "data") } },
      http: {
        addr: host,
        ...(ca === undefined
          ? {}
          : { tls: { certificate: join(folder, "cert.pem"), key: join(folder, "key.pem") } }),
      },
      ...(options.password === true
        ? { auth: { htpasswd: { realm: "test", path: join(folder, "htpasswd") } } }
        : {}),
    }),
  );
  const child = spawn("docker-registry", ["serve", join(folder, "config.yml")], {
    stdio: ["ignore", "ignore", "ignore"],
    // Its tracing would look for a collector.
    env: { PATH: process.env["PATH"] ?? "", OTEL_TRACES_EXPORTER: "none" },
  });
  const ended = once(child, "exit");
  // A suite that ends without closing it leaves no registry behind.
  child.unref();
  const onExit = (): void => void child.kill();
  process.once("exit", onExit);
  // A missing program is noticed by the first request that fails.
  child.on("error", () => undefined);
  const authorization =
    options.password === true
      ? `Basic ${Buffer.from(`${account.username}:${account.password}`).toString("base64")}`
      : undefined;
  const call = (method: string, url: string, body?: Buffer, type?: string): Promise<Answer> =>
    ask({
      method,
      url: new URL(url, `${ca === undefined ? "http" : "https"}://${host}`),
      ca,
      body,
      headers: {
        ...(authorization === undefined ? {} : { authorization }),
        ...(type === undefined ? {} : { "content-type": type }),
      },
    });
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.pid === undefined) return;
    child.ref();
    child.kill("SIGTERM");
    await ended;
    process.off("exit", onExit);
  };
  const close = async (): Promise<void> => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
    rmSync(trusted, { recursive: true, force: true });
    if (options.tls === true) ip("del");
  };
  try {
    await untilServing(() => call("GET", "/v2/"));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    host,
    stop,
    close,
    distrust: () => rmSync(trusted, { recursive: true, force: true }),
    push: async (name, tags, image) => {
      const parts = "manifest" in image ? image : await registryImage(image);
      for (const [bytes, digest] of [
        [parts.config, parts.configDigest],
        [parts.layer, parts.layerDigest],
      ] as const) {
        const begun = await call("POST", `/v2/${name}/blobs/uploads/`);
        const url = new URL(begun.location);
        url.searchParams.set("digest", digest);
        await call("PUT", url.href, bytes, "application/octet-stream");
      }
      for (const tag of tags) {
        await call("PUT", `/v2/${name}/manifests/${tag}`, parts.manifest, manifestType);
      }
      return parts;
    },
  };
}

interface Answer {
  status: number;
  location: string;
}

function ask(options: {
  method: string;
  url: URL;
  ca: Buffer | undefined;
  body: Buffer | undefined;
  headers: Record<string, string>;
}): Promise<Answer> {
  const { method, url, ca, body, headers } = options;
  return new Promise((resolve, reject) => {
    const secure = url.protocol === "https:";
    const request = (secure ? httpsRequest : httpRequest)(url, {
      method,
      agent: false,
      headers: { ...headers, "content-length": String(body?.length ?? 0) },
      ...(ca === undefined ? {} : { ca }),
    });
    request.on("error", reject);
    request.on("response", (response) => {
      response.resume();
      response.on("end", () => {
        const status = response.statusCode ?? 0;
        if (status >= 300) reject(new Error(`registry: ${method} ${url.pathname}: HTTP ${status}`));
        else resolve({ status, location: response.headers.location ?? "" });
      });
    });
    request.end(body);
  });
}

async function untilServing(probe: () => Promise<unknown>): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await probe();
      return;
    } catch (error) {
      if (attempt >= 100) throw new Error("docker-registry does not serve", { cause: error });
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** A port that nobody listens on at the moment. */
export async function freePort(address = "127.0.0.1"): Promise<number> {
  const probe = createServer();
  probe.listen(0, address);
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}

function ip(action: "add" | "del"): void {
  try {
    execFileSync("ip", ["address", action, `${tlsAddress}/32`, "dev", "lo"], { stdio: "ignore" });
  } catch {
    // There already, or gone already: the first request tells.
  }
}

/** A CA of our own and a certificate for the address; returns the CA's. */
function makeCertificate(folder: string, address: string): Buffer {
  const openssl = (...args: string[]): void => {
    execFileSync("openssl", args, { cwd: folder, stdio: "ignore" });
  };
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const ca = ["-x509", "-days", "2", "-subj", "/CN=dockline test CA"];
  openssl("req", ...ca, ...key, "-keyout", "ca-key.pem", "-out", "ca.pem");
  openssl("req", "-subj", `/CN=${address}`, ...key, "-keyout", "key.pem", "-out", "cert.csr");
  writeFileSync(join(folder, "san"), `subjectAltName=IP:${address}\n`);
  const signing = ["-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2"];
  openssl("x509", "-req", "-in", "cert.csr", ...signing, "-extfile", "san", "-out", "cert.pem");
  return readFileSync(join(folder, "ca.pem"));
}
