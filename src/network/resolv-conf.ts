import { constants } from "node:fs";
import { open, readFile, readlink, realpath } from "node:fs/promises";
import { isAbsolute, join, sep } from "node:path";
import { invalidArgument } from "../errors.ts";
import { isErrno } from "../sys/fs.ts";
import type { PodDns } from "./attachment.ts";

const hostFile = "/etc/resolv.conf";

/**
 * The text of a pod's resolv.conf, always all of it: what Docker would write by itself holds public name
 * servers where the host has none that a container can reach. Without a DNS config it is the host's
 * file as it is, "" where there is none; an empty config makes an empty file. As containerd has it.
 *
 * @throws CriError InvalidArgument for a config whose strings are not one word each
 */
export async function podResolvConf(
  dns: PodDns | undefined,
  hostPath = hostFile,
): Promise<string | Buffer> {
  if (dns !== undefined) return renderResolvConf(dns);
  try {
    return await readFile(hostPath);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return "";
    throw error;
  }
}

/**
 * A DNS config as resolv.conf has it; "" when it says nothing. Empty strings say nothing, and how many
 * entries count is the resolver's business. An option may be several words, as Kubernetes does not look
 * into them; they stay on the line of options.
 *
 * @throws CriError InvalidArgument for other strings that are not one word
 */
export function renderResolvConf(dns: PodDns): string {
  const lines: string[] = [];
  for (const server of words(dns.servers, "servers")) lines.push(`nameserver ${server}`);
  const searches = words(dns.searches, "searches");
  if (searches.length > 0) lines.push(`search ${searches.join(" ")}`);
  const options = words(dns.options.flatMap(toWords), "options");
  if (options.length > 0) lines.push(`options ${options.join(" ")}`);
  return lines.map((line) => `${line}\n`).join("");
}

const toWords = (text: string): string[] => text.split(/\s+/).filter((word) => word !== "");

function words(values: readonly string[], field: "servers" | "searches" | "options"): string[] {
  for (const [index, value] of values.entries()) {
    if (!/[\s\p{Cc}]/u.test(value)) continue;
    const shown = JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
    throw invalidArgument(`dns_config.${field}[${index}]: ${shown} is not one word`);
  }
  return values.filter((value) => value !== "");
}

/**
 * Whether Docker's file for a container says `text` already, as it mostly does in the host's network.
 * False when the file is not where Docker keeps it: an inspect then tells where.
 */
export async function hasResolvConf(
  root: string,
  containerId: string,
  text: string | Buffer,
): Promise<boolean> {
  try {
    const found = await readFile(join(root, "containers", containerId, "resolv.conf"));
    return found.equals(Buffer.from(text));
  } catch {
    return false;
  }
}

/**
 * Puts `text` into the resolv.conf that Docker made for a container. It is written in place: Docker
 * binds that very file into the pod's containers, so a new one under the name would not be seen.
 * The file that is really open must lie below `root`, Docker's root folder, and be a plain file with
 * one name (T27); otherwise nothing is written and an Error is thrown.
 */
export async function rewriteResolvConf(
  path: string,
  text: string | Buffer,
  root: string,
): Promise<void> {
  if (!isAbsolute(path)) throw new Error("the path of resolv.conf is not absolute");
  const realRoot = await realpath(root);
  const file = await openExisting(path);
  try {
    // What the descriptor points to cannot be exchanged any more, unlike the path's folders.
    const opened = await readlink(`/proc/self/fd/${file.fd}`);
    if (!opened.startsWith(realRoot.endsWith(sep) ? realRoot : realRoot + sep)) {
      throw new Error(`${path} does not lie below Docker's root folder ${root}`);
    }
    const found = await file.stat();
    if (!found.isFile() || found.nlink !== 1) throw new Error(`${path} is not a plain file`);
    await file.truncate(0);
    await file.writeFile(text);
  } finally {
    await file.close();
  }
}

async function openExisting(path: string): ReturnType<typeof open> {
  try {
    return await open(path, constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    if (isErrno(cause, "ELOOP", "ENXIO")) throw new Error(`${path} is not a plain file`, { cause });
    throw cause;
  }
}
