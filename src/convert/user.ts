import { quoted } from "./field-checks.ts";

/** The highest id that Docker, runc and the kubelet all accept. */
export const MAX_ID = 2n ** 31n - 1n;

/** As Go's Atoi reads numbers: with a sign and leading zeros. */
const DECIMAL = /^([+-]?)0*([0-9]+)$/;
/** Longer ones lie beyond every id. */
const LONGEST_DIGITS = 18;

export interface ImageUser {
  /** Set when the image names its user by number. */
  readonly uid: bigint | undefined;
  /** "" when `uid` is set or the image names none (root). */
  readonly username: string;
}

/**
 * An image's `Config.User` ("user", "user:group") → what Image.uid and Image.username report. Only
 * a decimal in range is a uid. Any other text is a name, which makes the kubelet refuse a
 * runAsNonRoot pod: a number that overflows to 0 somewhere must not pass for non-root.
 */
export function parseImageUser(user: string | undefined): ImageUser {
  const name = user?.split(":", 1)[0] ?? "";
  const uid = toNumber(name);
  return uid !== undefined && isId(uid)
    ? { uid, username: "" }
    : { uid: undefined, username: name };
}

/** Undefined for what is no number at all; what is too long for an id is some number beyond them. */
function toNumber(text: string): bigint | undefined {
  const [, sign, digits = ""] = DECIMAL.exec(text) ?? [];
  if (sign === undefined) return undefined;
  const value = BigInt(digits.slice(0, LONGEST_DIGITS));
  return sign === "-" ? -value : value;
}

function isId(value: bigint): boolean {
  return value >= 0n && value <= MAX_ID;
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
 * Looks a user up as Docker, containerd and CRI-O do, by name or by uid; a number is always a uid, and
 * an unknown uid has group 0. Undefined for an unknown name.
 */
export function lookupAccount(accounts: ImageAccounts, user: string): Account | undefined {
  const found = findAccount(accounts, user);
  if (found === undefined) return undefined;
  return { primaryGid: found.primaryGid, memberGids: found.memberGids };
}

function findAccount(
  accounts: ImageAccounts,
  user: string,
): (Account & { readonly uid: bigint }) | undefined {
  const wanted = toNumber(user);
  for (const [name = "", , uidText = "", gidText = ""] of entries(accounts.passwd)) {
    const uid = toNumber(uidText) ?? 0n;
    if (wanted === undefined ? name !== user : uid !== wanted) continue;
    const primaryGid = toNumber(gidText) ?? 0n;
    return { uid, primaryGid, memberGids: memberGids(accounts.group, name) };
  }
  return wanted === undefined ? undefined : { uid: wanted, primaryGid: 0n, memberGids: [] };
}

/** Lines that end early count: numbers that are missing or none are 0, as all other runtimes have it. */
function entries(text: string): string[][] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .map((line) => line.split(":"));
}

/** Only in /etc/group may a line be a comment. */
function groupEntries(text: string): string[][] {
  return entries(text).filter(([name = ""]) => !name.startsWith("#"));
}

/** The ids of a process, as an OCI spec has them. */
export interface ResolvedUser {
  readonly uid: bigint;
  readonly gid: bigint;
  /** Groups of /etc/group that list the user; none when the user names its group. */
  readonly memberGids: readonly bigint[];
}

/**
 * Resolves "user" or "user:group", each a name or a number, "" for root, as Docker does at a start.
 *
 * @throws Error that says what the image does not have, or which id is none
 */
export function resolveUser(accounts: ImageAccounts, user: string): ResolvedUser {
  const [name = "", group = ""] = user.split(":", 2);
  const wanted = name === "" ? "0" : name;
  const account = findAccount(accounts, wanted);
  if (account === undefined) throw new Error(`the image has no user ${quoted(wanted)}`);
  const { uid, primaryGid, memberGids } = account;
  if (!isId(uid)) throw new Error(`user id ${String(uid)} is not in 0 to ${String(MAX_ID)}`);
  if (group === "") return { uid, gid: primaryGid, memberGids };
  return { uid, gid: lookupGroup(accounts.group, group), memberGids: [] };
}

/**
 * The ids that Docker gives a first process by `Config.User` and `HostConfig.GroupAdd`. As in its OCI
 * specs the supplementary groups begin with the process's own group.
 *
 * @throws Error that says what the image does not have, or when it gives a number as the *name* of a
 *   group with another one: there engines differ
 */
export function processIdsOf(
  accounts: ImageAccounts,
  user: string,
  groupAdd: readonly string[],
): { uid: bigint; gid: bigint; supplementalGroups: bigint[] } {
  const { uid, gid, memberGids } = resolveUser(accounts, user);
  const added = new Set(groupAdd.map((group) => lookupAdded(accounts.group, group)));
  return { uid, gid, supplementalGroups: [gid, ...memberGids, ...added] };
}

function lookupAdded(text: string, group: string): bigint {
  const gid = lookupGroup(text, group);
  const named = groupEntries(text).find(([name]) => name === group);
  if (named === undefined || (toNumber(named[2] ?? "") ?? 0n) === gid) return gid;
  throw new Error(`the image's /etc/group calls gid ${named[2] ?? ""} ${quoted(group)}`);
}

function lookupGroup(text: string, group: string): bigint {
  let gid = toNumber(group);
  if (gid === undefined) {
    const found = groupEntries(text).find(([name]) => name === group);
    if (found === undefined) throw new Error(`the image has no group ${quoted(group)}`);
    gid = toNumber(found[2] ?? "") ?? 0n;
  }
  if (!isId(gid)) throw new Error(`group id ${String(gid)} is not in 0 to ${String(MAX_ID)}`);
  return gid;
}

/** Without those that no process can have. */
function memberGids(group: string, username: string): bigint[] {
  if (username === "") return [];
  return groupEntries(group)
    .filter(([, , , members = ""]) => members.split(",").includes(username))
    .map(([, , gidText = ""]) => toNumber(gidText) ?? 0n)
    .filter(isId);
}
