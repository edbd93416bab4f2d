import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import { localhostAppArmorProfile } from "../../../src/convert/apparmor.ts";
import { localhostSeccompPath } from "../../../src/convert/seccomp.ts";
import { toContainerSecurity, toSandboxSecurity } from "../../../src/convert/security-context.ts";
import {
  LinuxContainerSecurityContextSchema,
  LinuxSandboxSecurityContextSchema,
  SecurityProfile_ProfileType,
  SecurityProfileSchema,
} from "../../../src/gen/runtime/v1/api_pb.js";
import { modern, old, refuses, unknownEnum } from "./support.ts";

const { RuntimeDefault, Unconfined, Localhost } = SecurityProfile_ProfileType;
type Init = Parameters<typeof create<typeof LinuxContainerSecurityContextSchema>>[1];
const context = (fields: Init) => create(LinuxContainerSecurityContextSchema, fields);
const options = (fields: Init, facts = modern, text?: string) =>
  toContainerSecurity(context(fields), facts, text).SecurityOpt;
const profile = (profileType: SecurityProfile_ProfileType, localhostRef = "") =>
  create(SecurityProfileSchema, { profileType, localhostRef });

describe("convert/security-context", () => {
  it("adds nothing to what is asked", () => {
    expect(toContainerSecurity(context({}), modern)).to.deep.equal({
      Privileged: false,
      ReadonlyRootfs: false,
      CapAdd: [],
      CapDrop: [],
      MaskedPaths: [],
      ReadonlyPaths: [],
      SecurityOpt: ["seccomp=unconfined"],
    });
    expect(toContainerSecurity(undefined, modern)).to.not.have.any.keys(
      "MaskedPaths",
      "ReadonlyPaths",
    );
  });

  it("leaves out what the node itself cannot give", () => {
    const caps = (facts: typeof modern, addCapabilities: string[], dropCapabilities: string[]) =>
      toContainerSecurity(context({ capabilities: { addCapabilities, dropCapabilities } }), {
        ...facts,
        missingCapabilities: ["SYS_RESOURCE"],
      });
    // 23.0 and newer refuse to drop what nobody has, and know what "ALL" is.
    expect(caps(modern, ["ALL"], ["cap_sys_resource", "KILL"]).CapDrop).to.deep.equal(["KILL"]);
    expect(caps(modern, ["ALL"], []).CapDrop).to.deep.equal([]);
    // 20.10 takes "ALL" for what the kernel knows, and the start would fail.
    expect(caps(old, ["ALL"], ["KILL"]).CapDrop).to.deep.equal(["KILL", "SYS_RESOURCE"]);
    expect(caps(old, ["KILL"], []).CapDrop).to.deep.equal([]);
    // It refuses the names that are younger than it; nobody has those there.
    expect(caps(old, [], ["PERFMON", "cap_bpf", "KILL"]).CapDrop).to.deep.equal(["KILL"]);
    expect(caps(modern, [], ["PERFMON"]).CapDrop).to.deep.equal(["PERFMON"]);
  });

  it("passes capabilities and paths on as given", () => {
    const fields = toContainerSecurity(
      context({
        capabilities: { addCapabilities: ["NET_ADMIN", "CAP_SYS_TIME"], dropCapabilities: ["ALL"] },
        maskedPaths: ["/proc/kcore"],
        readonlyPaths: ["/proc/sys"],
        readonlyRootfs: true,
        noNewPrivs: true,
        seccomp: profile(RuntimeDefault),
      }),
      modern,
    );
    expect(fields).to.deep.equal({
      Privileged: false,
      ReadonlyRootfs: true,
      CapAdd: ["NET_ADMIN", "CAP_SYS_TIME"],
      CapDrop: ["ALL"],
      MaskedPaths: ["/proc/kcore"],
      ReadonlyPaths: ["/proc/sys"],
      SecurityOpt: ["no-new-privileges", "seccomp=builtin"],
    });
  });

  it("unmasks and unconfines what is privileged", () => {
    const fields = toContainerSecurity(
      context({
        privileged: true,
        maskedPaths: ["/proc/kcore"],
        readonlyPaths: ["/proc/sys"],
        seccomp: profile(RuntimeDefault),
        selinuxOptions: { level: "s0" },
      }),
      modern,
    );
    expect(fields).to.deep.include({ Privileged: true, MaskedPaths: [], ReadonlyPaths: [] });
    expect(fields.SecurityOpt).to.deep.equal(["seccomp=unconfined"]);
  });

  for (const [what, fields, message] of [
    [
      "ambient capabilities",
      { capabilities: { addAmbientCapabilities: ["KILL"] } },
      /add_ambient_capabilities/,
    ],
    ["an odd capability", { capabilities: { addCapabilities: ["A B"] } }, /add_capabilities/],
    ["an empty capability", { capabilities: { dropCapabilities: [""] } }, /drop_capabilities/],
    ["a relative masked path", { maskedPaths: ["proc"] }, /masked_paths/],
    ["a relative read-only path", { readonlyPaths: ["proc"] }, /readonly_paths/],
  ] as [string, Init, RegExp][]) {
    it(`refuses ${what}`, () => {
      refuses(() => toContainerSecurity(context(fields), modern), message);
    });
  }

  describe("seccomp", () => {
    for (const [what, fields, modernOption, oldOption] of [
      ["unset", {}, ["seccomp=unconfined"], ["seccomp=unconfined"]],
      ["RuntimeDefault", { seccomp: profile(RuntimeDefault) }, ["seccomp=builtin"], []],
      [
        "Unconfined",
        { seccomp: profile(Unconfined) },
        ["seccomp=unconfined"],
        ["seccomp=unconfined"],
      ],
      ["runtime/default", { seccompProfilePath: "runtime/default" }, ["seccomp=builtin"], []],
      ["docker/default", { seccompProfilePath: "docker/default" }, ["seccomp=builtin"], []],
      [
        "unconfined",
        { seccompProfilePath: "unconfined" },
        ["seccomp=unconfined"],
        ["seccomp=unconfined"],
      ],
      [
        "the new field before the old",
        { seccomp: profile(RuntimeDefault), seccompProfilePath: "unconfined" },
        ["seccomp=builtin"],
        [],
      ],
    ] as [string, Init, string[], string[]][]) {
      it(`translates ${what}`, () => {
        expect(options(fields)).to.deep.equal(modernOption);
        expect(options(fields, old)).to.deep.equal(oldOption);
      });
    }

    it("sends the text of a localhost profile, compacted", () => {
      const text = '{\n  "defaultAction": "SCMP_ACT_ALLOW"\n}\n';
      const expected = ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}'];
      for (const fields of [
        { seccomp: profile(Localhost, "/etc/p.json") },
        { seccomp: profile(Localhost, "localhost//etc/p.json") },
        { seccompProfilePath: "localhost//etc/p.json" },
      ]) {
        expect(options(fields, modern, text)).to.deep.equal(expected);

        const { seccomp, seccompProfilePath } = context(fields);
        expect(localhostSeccompPath(seccomp, seccompProfilePath)).to.equal("/etc/p.json");
        expect(localhostSeccompPath(seccomp, seccompProfilePath, true)).to.equal(undefined);
      }
      expect(localhostSeccompPath(undefined)).to.equal(undefined);
      expect(localhostSeccompPath(profile(RuntimeDefault))).to.equal(undefined);
    });

    it("sends every number and string of a localhost profile as it is", () => {
      const args =
        '[{"index":0,"value":9007199254740993,"valueTwo":18446744073709551615,"op":"SCMP_CMP_EQ"}]';
      const profileText = `{"x":"a \\"b\\\\","y":"\\t","args":${args},"z":1e3}`;
      const spaced = `\n\t{ "x" : "a \\"b\\\\" ,\r\n"y":"\\t", "args":${args.replaceAll(",", " , ")},"z":1e3 } \n`;
      expect(options({ seccomp: profile(Localhost, "/p") }, modern, spaced)).to.deep.equal([
        `seccomp=${profileText}`,
      ]);
    });

    for (const [what, fields, text] of [
      ["a profile that was not read", { seccomp: profile(Localhost, "/p") }, undefined],
      ["a profile that is no JSON", { seccomp: profile(Localhost, "/p") }, "{"],
      ["a profile that is no object", { seccomp: profile(Localhost, "/p") }, "[]"],
      ["a relative profile", { seccomp: profile(Localhost, "p") }, "{}"],
      ["no profile", { seccomp: profile(Localhost) }, "{}"],
      ["an unknown type", { seccomp: profile(unknownEnum(9)) }, "{}"],
      ["an unknown path form", { seccompProfilePath: "/p" }, "{}"],
    ] as [string, Init, string | undefined][]) {
      it(`refuses ${what}`, () => {
        refuses(() => options(fields, modern, text), /^seccomp/);
      });
    }
  });

  describe("apparmor", () => {
    const rest = "seccomp=unconfined";
    for (const [what, fields, expected, name] of [
      ["unset", {}, [rest], undefined],
      ["RuntimeDefault", { apparmor: profile(RuntimeDefault) }, [rest], undefined],
      ["Unconfined", { apparmor: profile(Unconfined) }, ["apparmor=unconfined", rest], undefined],
      ["Localhost", { apparmor: profile(Localhost, "mine") }, ["apparmor=mine", rest], "mine"],
      [
        "localhost/ in the new field",
        { apparmor: profile(Localhost, "localhost/m") },
        ["apparmor=m", rest],
        "m",
      ],
      ["runtime/default", { apparmorProfile: "runtime/default" }, [rest], undefined],
      ["unconfined", { apparmorProfile: "unconfined" }, ["apparmor=unconfined", rest], undefined],
      ["localhost/", { apparmorProfile: "localhost/mine" }, ["apparmor=mine", rest], "mine"],
      [
        "the new field before the old",
        { apparmor: profile(RuntimeDefault), apparmorProfile: "localhost/mine" },
        [rest],
        undefined,
      ],
    ] as [string, Init, string[], string | undefined][]) {
      it(`translates ${what}`, () => {
        expect(options(fields)).to.deep.equal(expected);

        const { apparmor, apparmorProfile } = context(fields);
        expect(localhostAppArmorProfile(apparmor, apparmorProfile)).to.equal(name);
      });
    }

    for (const [what, fields] of [
      ["no name", { apparmor: profile(Localhost) }],
      ["a newline", { apparmor: profile(Localhost, "a\nb") }],
      ["an unknown type", { apparmor: profile(unknownEnum(9)) }],
      ["an unknown word", { apparmorProfile: "mine" }],
      ["an empty localhost/", { apparmorProfile: "localhost/" }],
    ] as [string, Init][]) {
      it(`refuses ${what}`, () => {
        refuses(() => options(fields), /^apparmor/);
      });
    }

    it("refuses a profile where there is no AppArmor", () => {
      refuses(() => options({ apparmor: profile(Localhost, "mine") }, old), /without AppArmor/);
      expect(options({ apparmor: profile(RuntimeDefault) }, old)).to.deep.equal([rest]);
    });
  });

  describe("selinux", () => {
    it("translates the parts that are set", () => {
      const selinuxOptions = { user: "u_u", role: "r_r", type: "t_t", level: "s0:c1,c2" };
      expect(options({ selinuxOptions })).to.deep.equal([
        "label=user:u_u",
        "label=role:r_r",
        "label=type:t_t",
        "label=level:s0:c1,c2",
        "seccomp=unconfined",
      ]);
      expect(options({ selinuxOptions: { type: "t" } })).to.deep.equal([
        "label=type:t",
        "seccomp=unconfined",
      ]);
      expect(options({ selinuxOptions: {} })).to.deep.equal(["seccomp=unconfined"]);
    });

    for (const [part, value] of [
      ["user", "a b"],
      ["role", "a:b"],
      ["type", "a\n"],
      ["level", "c1"],
      ["level", "s0 c1"],
    ] as const) {
      it(`refuses ${part} ${JSON.stringify(value)}`, () => {
        refuses(
          () => options({ selinuxOptions: { [part]: value } }),
          new RegExp(`selinux_options.${part}`),
        );
      });
    }
  });

  it("keeps the pause container under Docker's profile and without new privileges", () => {
    const sandbox = (
      fields: Parameters<typeof create<typeof LinuxSandboxSecurityContextSchema>>[1],
    ) => toSandboxSecurity(create(LinuxSandboxSecurityContextSchema, fields), modern).SecurityOpt;
    expect(toSandboxSecurity(undefined, modern)).to.deep.equal({
      Privileged: false,
      ReadonlyRootfs: false,
      SecurityOpt: ["no-new-privileges", "seccomp=builtin"],
    });
    expect(toSandboxSecurity(undefined, old).SecurityOpt).to.deep.equal(["no-new-privileges"]);
    expect(sandbox({ seccomp: profile(Unconfined) })).to.deep.equal([
      "no-new-privileges",
      "seccomp=unconfined",
    ]);
    expect(
      sandbox({ apparmor: profile(Localhost, "mine"), selinuxOptions: { type: "t" } }),
    ).to.deep.equal(["label=type:t", "apparmor=mine", "no-new-privileges", "seccomp=builtin"]);
    expect(sandbox({ privileged: true, seccomp: profile(RuntimeDefault) })).to.deep.equal([
      "no-new-privileges",
      "seccomp=unconfined",
    ]);
  });
});
