import { constants } from "node:fs";
import { open, readlink, realpath } from "node:fs/promises";
import { isAbsolute, sep } from "node:path";
import { invalidArgument } from "../errors.ts";
import { isErrno } from "../sys/fs.ts";
import type { PodDns } from "./attachment.ts";

/** Beyond what Kubernetes allows (3 servers, 32 domains of 2048 bytes), so never met in earnest. */
const maxEntries = 64;
const maxEntryLength = 255;
const maxTextLength = 16_384;

/**
 * The text of a pod's resolv.conf; "" when the DNS config says nothing, which leaves Docker's own
 * file in force. Throws CriError InvalidArgument: every string must stay one word of its line.
 */
export function renderResolvConf(dns: PodDns): string {
  const lines: string[] = [];
  for (const server of words(dns.servers, "server")) lines.push(`nameserver ${server}`);
  const searches = words(dns.searches, "search domain");
  if (searches.length > 0) lines.push(`search ${searches.join(" ")}`);
  const options = words(dns.options, "option");
  if (options.length > 0) lines.push(`options ${options.join(" ")}`);
  const text = lines.map((line) => `${line}\n`).join("");
  if (text.length > maxTextLength) throw invalidArgument("DNS config: too long");
  return text;
}

function words(values: readonly string[], what: string): readonly string[] {
  if (values.length > maxEntries) throw invalidArgument(`DNS config: too many ${what}s`);
  for (const value of values) {
    if (value === "" || value.length > maxEntryLength || /[\s\p{Cc}]/u.test(value)) {
      throw invalidArgument(
        `DNS config: a ${what} must be one word of at most ${maxEntryLength} characters`,
      );
    }
  }
  return values;
}

/**
 * Puts `text` into the resolv.conf that Docker made for a container. It is written in place: Docker
 * binds that very file into the pod's containers, so a new one under the name would not be seen.
 * The file that is really open must lie below `root`, Docker's root folder, and be a plain file with
 * one name (T27); otherwise nothing is written and an Error is thrown.
 */
export async function rewriteResolvConf(path: string, text: string, root: string): Promise<void> {
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
    await file.write(text, 0);
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
