import { quoted } from "./field-checks.ts";

/** The highest id that Docker, runc and the kubelet all take for a number. */
export const MAX_ID = 2n ** 31n - 1n;

const CANONICAL_DECIMAL = /^(?:0|[1-9][0-9]{0,9})$/;
const ID = /^[0-9]{1,10}$/;

export interface ImageUser {
  /** Set when the image names its user by number. */
  readonly uid: bigint | undefined;
  /** "" when `uid` is set or the image names none (root). */
  readonly username: string;
}

/**
 * An image's `Config.User` ("user", "user:group") → what Image.uid and Image.username report. Only
 * a plain decimal in range is a uid. Any other text is a name, which makes the kubelet refuse a
 * runAsNonRoot pod: a number that overflows to 0 somewhere must not pass for non-root.
 */
export function parseImageUser(user: string | undefined): ImageUser {
  const name = user?.split(":", 1)[0] ?? "";
  if (CANONICAL_DECIMAL.test(name)) {
    const uid = BigInt(name);
    if (uid <= MAX_ID) return { uid, username: "" };
  }
  return { uid: undefined, username: name };
}

/** The texts of an image's /etc/passwd and /etc/group; "" for a missing file. */
export interface ImageAccounts {
  readonly passwd: string;
  readonly group: string;
}

export interface Account {
  readonly primaryGid: bigint;
  /** Groups of /etc/group that list the user by name. */
  readonly memberGids: readonly bigint[];
}

/**
 * Looks a user up as the OCI runtimes do, by name or by uid; an unknown uid has group 0.
 * Undefined for an unknown name.
 *
 * @throws Error when the image gives a number that was asked for as a uid to a user of that *name*:
 *   Docker would run that one, whose uid may be 0
 */
export function lookupAccount(accounts: ImageAccounts, user: string): Account | undefined {
  const wanted = ID.test(user) ? BigInt(user) : undefined;
  let found: { name: string; gid: bigint } | undefined;
  for (const line of accounts.passwd.split("\n")) {
    const [name = "", , uidText = "", gidText = ""] = line.trim().split(":");
    if (name === "" || name.startsWith("#") || !ID.test(uidText) || !ID.test(gidText)) continue;
    const uid = BigInt(uidText);
    if (wanted !== undefined && name === user && uid !== wanted) {
      throw new Error(`the image's /etc/passwd calls uid ${uidText} ${quoted(user)}`);
    }
    if (found === undefined && (wanted === undefined ? name === user : uid === wanted)) {
      found = { name, gid: BigInt(gidText) };
    }
  }
  if (found === undefined) {
    return wanted === undefined ? undefined : { primaryGid: 0n, memberGids: [] };
  }
  return { primaryGid: found.gid, memberGids: memberGids(accounts.group, found.name) };
}

function memberGids(group: string, username: string): bigint[] {
  const gids: bigint[] = [];
  for (const line of group.split("\n")) {
    const [name = "", , gidText = "", members = ""] = line.trim().split(":");
    if (name.startsWith("#") || !ID.test(gidText)) continue;
    if (members.split(",").includes(username)) gids.push(BigInt(gidText));
  }
  return gids;
}
