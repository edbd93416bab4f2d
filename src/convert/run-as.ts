import { invalidArgument } from "../errors.ts";
import type { HostConfig } from "../engine/types.ts";
import { SupplementalGroupsPolicy, type Int64Value } from "../gen/runtime/v1/api_pb.js";
import { quoted, requireSafeInteger, unimplemented } from "./field-checks.ts";
import {
  lookupAccount,
  MAX_ID,
  resolveUser,
  type Account,
  type ImageAccounts,
  type ResolvedUser,
} from "./user.ts";

/** The user fields that both security contexts have; a sandbox has no username. */
export interface RunAs {
  readonly runAsUser?: Int64Value | undefined;
  readonly runAsGroup?: Int64Value | undefined;
  readonly runAsUsername?: string;
  readonly supplementalGroups: readonly bigint[];
  readonly supplementalGroupsPolicy: SupplementalGroupsPolicy;
}

/** What the image says about users, as far as it was read. */
export interface ImageUserFacts {
  /** `Config.User` of the image. */
  readonly user?: string | undefined;
  readonly accounts?: ImageAccounts | undefined;
  /**
   * Every id is to be a number (wantsFixedIds): an exec then has the groups that the first process
   * got, whatever the container has written into its own /etc/passwd and /etc/group.
   */
  readonly fixed?: boolean;
}

const USERNAME = /^[^\s:\0]{1,256}$/;

/**
 * True when the image's /etc/passwd and /etc/group decide the groups and Docker cannot be left to
 * read them: Strict needs the primary group, Merge beside an explicit group the memberships.
 */
export function needsImageAccounts(runAs: RunAs | undefined): boolean {
  if (runAs === undefined) return false;
  const strict = runAs.supplementalGroupsPolicy === SupplementalGroupsPolicy.Strict;
  return strict ? runAs.runAsGroup === undefined : runAs.runAsGroup !== undefined;
}

/**
 * True when Docker would resolve the user again at each exec, from files that the container may have
 * changed. Not for root, whom files give no right that it has not: every pod would cost a look into
 * its image.
 *
 * @throws InvalidArgument for ids and names that are none
 */
export function wantsFixedIds(runAs: RunAs | undefined, imageUser: string | undefined): boolean {
  const asked = runAs === undefined ? undefined : userOf(runAs);
  const user = asked ?? imageUser ?? "";
  const [name = "", group = ""] = user.split(":", 2);
  const gid = runAs?.runAsGroup === undefined ? group : "0";
  if (/^[0-9]+$/.test(name) && /^[0-9]+$/.test(gid)) return false;
  return !["", "0", "root"].includes(name) || !["", "0", "root"].includes(gid);
}

/** Checks what can be checked without the image. @throws InvalidArgument naming the field */
export function requireRunAs(runAs: RunAs | undefined): void {
  if (runAs === undefined) return;
  if (userOf(runAs) === undefined && runAs.runAsGroup !== undefined) {
    throw invalidArgument("run_as_group: needs run_as_user or run_as_username");
  }
  if (runAs.runAsGroup !== undefined) id("run_as_group", runAs.runAsGroup.value);
  for (const group of runAs.supplementalGroups) id("supplemental_groups", group);
  strictPolicy(runAs.supplementalGroupsPolicy);
}

/**
 * Docker's `User` and `GroupAdd`. "user" alone makes Docker merge the groups that the image gives
 * the user; "user:group" makes it ignore them: that is how the two policies are told apart.
 * Undefined `User` leaves the image's.
 *
 * @throws InvalidArgument for ids out of range or a group without a user; Unimplemented for Strict
 *   when the accounts that it needs were not read
 */
export function toDockerUser(
  runAs: RunAs | undefined,
  image: ImageUserFacts = {},
): { User?: string; GroupAdd: Required<Pick<HostConfig, "GroupAdd">>["GroupAdd"] } {
  requireRunAs(runAs);
  if (image.fixed === true && image.accounts !== undefined) {
    return fixedUser(runAs, image.user ?? "", image.accounts);
  }
  if (runAs === undefined) return { GroupAdd: [] };
  const user = userOf(runAs);
  const gid =
    runAs.runAsGroup === undefined ? undefined : id("run_as_group", runAs.runAsGroup.value);
  const groups = runAs.supplementalGroups.map((group) => String(id("supplemental_groups", group)));
  const strict = strictPolicy(runAs.supplementalGroupsPolicy);
  const name = user ?? imageUserName(image.user);
  const account = image.accounts === undefined ? undefined : lookup(image.accounts, name);
  if (strict && gid === undefined) {
    if (account === undefined) {
      throw unimplemented(
        "supplemental_groups_policy: Strict without run_as_group needs the image's /etc/passwd",
      );
    }
    return { User: `${name}:${String(account.primaryGid)}`, GroupAdd: unique(groups) };
  }
  if (gid === undefined) {
    // With no user at all Docker keeps the first process's groups in an exec.
    const asImage = user === undefined || (user === "0" && image.user === "");
    return { ...(asImage ? {} : { User: user }), GroupAdd: unique(groups) };
  }
  const merged = strict ? [] : (account?.memberGids ?? []).map(String);
  return { User: `${name}:${gid}`, GroupAdd: unique([...groups, ...merged]) };
}

function fixedUser(
  runAs: RunAs | undefined,
  imageUser: string,
  accounts: ImageAccounts,
): ReturnType<typeof toDockerUser> {
  const asked = runAs === undefined ? undefined : userOf(runAs);
  let found: ResolvedUser;
  try {
    found = resolveUser(accounts, asked ?? imageUser);
  } catch (error) {
    const field =
      asked === undefined ? "image" : runAs?.runAsUsername ? "run_as_username" : "run_as_user";
    throw invalidArgument(`${field}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const strict = strictPolicy(runAs?.supplementalGroupsPolicy ?? SupplementalGroupsPolicy.Merge);
  const gid = runAs?.runAsGroup?.value ?? found.gid;
  return {
    User: `${String(found.uid)}:${String(gid)}`,
    GroupAdd: unique(
      [...(runAs?.supplementalGroups ?? []), ...(strict ? [] : found.memberGids)].map(String),
    ),
  };
}

function userOf(runAs: RunAs): string | undefined {
  const username = runAs.runAsUsername ?? "";
  if (username !== "") {
    if (!USERNAME.test(username)) {
      throw invalidArgument(`run_as_username: ${quoted(username)} is not a user name`);
    }
    // Docker would read it as a number and may wrap it.
    if (/^[+-]?[0-9]+$/.test(username)) return String(id("run_as_username", BigInt(username)));
    return username;
  }
  return runAs.runAsUser === undefined
    ? undefined
    : String(id("run_as_user", runAs.runAsUser.value));
}

function strictPolicy(policy: SupplementalGroupsPolicy): boolean {
  switch (policy) {
    case SupplementalGroupsPolicy.Merge:
      return false;
    case SupplementalGroupsPolicy.Strict:
      return true;
    default:
      throw invalidArgument(`supplemental_groups_policy: ${String(policy)} is unknown`);
  }
}

function imageUserName(user: string | undefined): string {
  const name = user?.split(":", 1)[0] ?? "";
  return name === "" ? "0" : name;
}

function lookup(accounts: ImageAccounts, user: string): Account {
  let account: Account | undefined;
  try {
    account = lookupAccount(accounts, user);
  } catch (error) {
    throw invalidArgument(`run_as_user: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (account === undefined) {
    throw invalidArgument(`run_as_username: the image has no user ${quoted(user)}`);
  }
  return account;
}

function id(field: string, value: bigint): number {
  return requireSafeInteger(field, value, 0n, MAX_ID);
}

function unique(groups: string[]): string[] {
  return [...new Set(groups)];
}
