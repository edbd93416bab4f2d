import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import {
  needsImageAccounts,
  toDockerUser,
  wantsFixedIds,
  type RunAs,
} from "../../../src/convert/run-as.ts";
import {
  lookupAccount,
  parseImageUser,
  processIdsOf,
  resolveUser,
} from "../../../src/convert/user.ts";
import { Int64ValueSchema, SupplementalGroupsPolicy } from "../../../src/gen/runtime/v1/api_pb.js";
import { refuses, unknownEnum } from "./support.ts";

const { Merge, Strict } = SupplementalGroupsPolicy;
const int = (value: bigint) => create(Int64ValueSchema, { value });
const runAs = (fields: Partial<RunAs>): RunAs => ({
  supplementalGroups: [],
  supplementalGroupsPolicy: Merge,
  ...fields,
});
const accounts = {
  passwd: "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/:\n# no:x:5:5\nbroken\nbad:x:a:b\n",
  group: "root:x:0:\nstaff:x:50:app,other\ndocker:x:60:app\n#x:x:7:app\nbad:x:q:app\n",
};

describe("convert/user", () => {
  for (const [user, uid, username] of [
    [undefined, undefined, ""],
    ["", undefined, ""],
    ["0", 0n, ""],
    ["1000", 1000n, ""],
    ["1000:2000", 1000n, ""],
    ["2147483647", 2147483647n, ""],
    ["2147483648", undefined, "2147483648"],
    ["4294967296", undefined, "4294967296"],
    ["9007199254740993", undefined, "9007199254740993"],
    ["1".repeat(30), undefined, "1".repeat(30)],
    ["-1", undefined, "-1"],
    ["+1", 1n, ""],
    ["007", 7n, ""],
    ["0001000:0002", 1000n, ""],
    [`${"0".repeat(30)}5`, 5n, ""],
    ["000", 0n, ""],
    ["02147483648", undefined, "02147483648"],
    ["1e3", undefined, "1e3"],
    ["0x10", undefined, "0x10"],
    [" 1", undefined, " 1"],
    ["app", undefined, "app"],
    ["app:staff", undefined, "app"],
    [":5", undefined, ""],
  ] as const) {
    it(`reads the image user ${JSON.stringify(user)}`, () => {
      expect(parseImageUser(user)).to.deep.equal({ uid, username });
    });
  }

  it("looks accounts up by name and by uid", () => {
    const app = { primaryGid: 1001n, memberGids: [50n, 60n, 0n] };
    expect(lookupAccount(accounts, "app")).to.deep.equal(app);
    expect(lookupAccount(accounts, "1000")).to.deep.equal(app);
    expect(lookupAccount(accounts, "4242")).to.deep.equal({ primaryGid: 0n, memberGids: [] });
    expect(lookupAccount(accounts, "nobody")).to.equal(undefined);
    expect(lookupAccount({ passwd: "", group: "" }, "0")).to.deep.equal({
      primaryGid: 0n,
      memberGids: [],
    });
  });

  it("takes a number for an id, also where it is the name of somebody else", () => {
    const hostile = { passwd: "1000:x:0:0::/:\n", group: "1000:x:0:\nroot:x:0:1000\n" };
    expect(lookupAccount(hostile, "1000")).to.deep.equal({ primaryGid: 0n, memberGids: [] });
    expect(resolveUser(hostile, "1000:1000")).to.deep.equal({
      uid: 1000n,
      gid: 1000n,
      memberGids: [],
    });
    const request = runAs({ runAsUser: int(1000n) });
    const facts = { accounts: hostile, user: "", fixed: true };
    expect(toDockerUser(request, facts)).to.deep.equal({ User: "1000:0", GroupAdd: [] });
    expect(processIdsOf(hostile, "1000", []).supplementalGroups).to.deep.equal([0n]);
    expect(() => processIdsOf(hostile, "1000", ["1000"])).to.throw(/calls gid 0 "1000"/);
  });

  it("takes lines that end early or have no numbers, as other runtimes do", () => {
    const short = {
      passwd: "early:x:1000\nbare\nodd:x:a:b\n#hash:x:5:6\n",
      group: "wheel:x:10:early\nempty\nnone:x:q:early\n#no:x:7:early\nlow:x:-2:early\n",
    };
    const user = (name: string) => resolveUser(short, name);
    expect(user("early")).to.deep.equal({ uid: 1000n, gid: 0n, memberGids: [10n, 0n] });
    expect(user("bare")).to.deep.equal({ uid: 0n, gid: 0n, memberGids: [] });
    expect(user("odd")).to.deep.equal({ uid: 0n, gid: 0n, memberGids: [] });
    expect(user("#hash")).to.deep.equal({ uid: 5n, gid: 6n, memberGids: [] });
    expect(user("5").gid).to.equal(6n);
    expect(user("early:empty").gid).to.equal(0n);
    expect(() => user("early:#no")).to.throw(/no group "#no"/);
    expect(() => user("early:low")).to.throw(/group id -2 is not in/);
    const below = { passwd: "nobody:x:-2:-2::/:\n", group: "" };
    expect(() => resolveUser(below, "nobody")).to.throw(/user id -2 is not in/);
  });
});

describe("convert/run-as", () => {
  const image = { accounts };
  for (const [what, request, facts, expected] of [
    ["nothing", undefined, {}, { GroupAdd: [] }],
    ["an empty context", runAs({}), {}, { GroupAdd: [] }],
    ["a uid", runAs({ runAsUser: int(0n) }), {}, { User: "0", GroupAdd: [] }],
    [
      "root where the image has no user",
      runAs({ runAsUser: int(0n) }),
      { user: "" },
      { GroupAdd: [] },
    ],
    [
      "root where the image has one",
      runAs({ runAsUser: int(0n) }),
      { user: "app" },
      { User: "0", GroupAdd: [] },
    ],
    ["a name", runAs({ runAsUsername: "app" }), {}, { User: "app", GroupAdd: [] }],
    [
      "a name before a uid",
      runAs({ runAsUsername: "a", runAsUser: int(1n) }),
      {},
      { User: "a", GroupAdd: [] },
    ],
    ["a numeric name", runAs({ runAsUsername: "007" }), {}, { User: "7", GroupAdd: [] }],
    [
      "uid and gid",
      runAs({ runAsUser: int(1n), runAsGroup: int(2n), supplementalGroups: [3n, 3n, 4n] }),
      {},
      { User: "1:2", GroupAdd: ["3", "4"] },
    ],
    [
      "Merge with the image's groups beside a gid",
      runAs({ runAsUser: int(1000n), runAsGroup: int(2n), supplementalGroups: [50n] }),
      image,
      { User: "1000:2", GroupAdd: ["50", "60", "0"] },
    ],
    [
      "Strict with a gid",
      runAs({
        runAsUser: int(1000n),
        runAsGroup: int(2n),
        supplementalGroups: [3n],
        supplementalGroupsPolicy: Strict,
      }),
      image,
      { User: "1000:2", GroupAdd: ["3"] },
    ],
    [
      "Strict with the image's primary group",
      runAs({ runAsUsername: "app", supplementalGroupsPolicy: Strict }),
      image,
      { User: "app:1001", GroupAdd: [] },
    ],
    [
      "Strict with the image's user",
      runAs({ supplementalGroupsPolicy: Strict }),
      { accounts, user: "app:docker" },
      { User: "app:1001", GroupAdd: [] },
    ],
    [
      "Strict with an image that names none",
      runAs({ supplementalGroupsPolicy: Strict }),
      image,
      { User: "0:0", GroupAdd: [] },
    ],
  ] as const) {
    it(`translates ${what}`, () => {
      expect(toDockerUser(request, facts)).to.deep.equal(expected);
    });
  }

  for (const [what, request, message] of [
    ["a group without user", runAs({ runAsGroup: int(1n) }), /run_as_group: needs/],
    ["uid -1", runAs({ runAsUser: int(-1n) }), /run_as_user/],
    ["uid 2^31", runAs({ runAsUser: int(2n ** 31n) }), /run_as_user/],
    ["uid 2^32", runAs({ runAsUser: int(2n ** 32n) }), /run_as_user/],
    ["uid 2^53+1", runAs({ runAsUser: int(2n ** 53n + 1n) }), /run_as_user/],
    ["gid -1", runAs({ runAsUser: int(1n), runAsGroup: int(-1n) }), /run_as_group/],
    ["group 2^31", runAs({ supplementalGroups: [2n ** 31n] }), /supplemental_groups/],
    ["a name with a colon", runAs({ runAsUsername: "a:0" }), /run_as_username/],
    ["a name with a newline", runAs({ runAsUsername: "a\nb" }), /run_as_username/],
    [
      "a name that is too large a number",
      runAs({ runAsUsername: "4294967296" }),
      /run_as_username/,
    ],
    ["a name that is a negative number", runAs({ runAsUsername: "-1" }), /run_as_username/],
    ["an unknown policy", runAs({ supplementalGroupsPolicy: unknownEnum(7) }), /policy: 7/],
  ] as const) {
    it(`refuses ${what}`, () => {
      refuses(() => toDockerUser(request), message);
    });
  }

  it("refuses a name that the image does not have", () => {
    refuses(() => toDockerUser(runAs({ runAsUsername: "ghost" }), image), /no user "ghost"/);
  });

  for (const [what, request, user, expected] of [
    ["a uid", runAs({ runAsUser: int(1000n) }), "", ["1000:1001", ["50", "60", "0"]]],
    ["no request", undefined, "app", ["1000:1001", ["50", "60", "0"]]],
    ["an image's group", runAs({}), "app:docker", ["1000:60", []]],
    ["an image's group by number", runAs({}), "app:7777", ["1000:7777", []]],
    [
      "Strict with an image's group",
      runAs({ supplementalGroups: [9n], supplementalGroupsPolicy: Strict }),
      "app:docker",
      ["1000:60", ["9"]],
    ],
    [
      "a gid",
      runAs({ runAsUsername: "app", runAsGroup: int(5n), supplementalGroups: [50n] }),
      "",
      ["1000:5", ["50", "60", "0"]],
    ],
    ["an unknown uid", runAs({ runAsUser: int(4242n) }), "app", ["4242:0", []]],
  ] as const) {
    it(`fixes the ids of ${what}`, () => {
      const [User, GroupAdd] = expected;
      expect(toDockerUser(request, { accounts, user, fixed: true })).to.deep.equal({
        User,
        GroupAdd,
      });
    });
  }

  it("fixes no ids that the image does not have, or that are none", () => {
    for (const [user, message] of [
      ["ghost", /image: the image has no user "ghost"/],
      ["app:ghosts", /the image has no group "ghosts"/],
      ["4294967295", /user id 4294967295 is not in/],
    ] as const) {
      refuses(() => toDockerUser(undefined, { accounts, user, fixed: true }), message);
    }
  });

  it("says whose ids are to be fixed: all but root's and plain numbers", () => {
    for (const [request, user, wanted] of [
      [undefined, "", false],
      [undefined, "root", false],
      [undefined, "0:root", false],
      [undefined, "1000:1000", false],
      [undefined, "1000", true],
      [undefined, "app", true],
      [undefined, ":staff", true],
      [runAs({ runAsUser: int(0n) }), "app", false],
      [runAs({ runAsUser: int(5n) }), "", true],
      [runAs({ runAsUser: int(5n), runAsGroup: int(5n) }), "", false],
      [runAs({ runAsUsername: "app", runAsGroup: int(5n) }), "", true],
    ] as const)
      expect(wantsFixedIds(request, user), user).to.equal(wanted);
  });

  it("refuses Strict without the accounts it needs, and says when they are needed", () => {
    const strict = runAs({ runAsUser: int(1n), supplementalGroupsPolicy: Strict });
    refuses(() => toDockerUser(strict), /Strict/, "Unimplemented");
    expect(needsImageAccounts(undefined)).to.equal(false);
    expect(needsImageAccounts(strict)).to.equal(true);
    expect(needsImageAccounts({ ...strict, runAsGroup: int(1n) })).to.equal(false);
    expect(needsImageAccounts(runAs({ runAsUser: int(1n) }))).to.equal(false);
    expect(needsImageAccounts(runAs({ runAsUser: int(1n), runAsGroup: int(1n) }))).to.equal(true);
  });

  it("keeps every id in range and no other", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (uid) => {
        const request = runAs({ runAsUser: int(uid) });
        if (uid >= 0n && uid < 2n ** 31n) expect(toDockerUser(request).User).to.equal(String(uid));
        else refuses(() => toDockerUser(request), /run_as_user/);
      }),
    );
  });
});
