import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect } from "chai";
import {
  SecurityProfile_ProfileType as Profile,
  ValidateContainerAdjustmentRequestSchema,
} from "../../../src/gen/nri/v1alpha1/api_pb.js";
import type { ContainerSchema, PodSandboxSchema } from "../../../src/gen/nri/v1alpha1/api_pb.js";
import type { ValidatorOptions } from "../../../src/nri/adjust.ts";
import { createMerging } from "../../../src/nri/merging.ts";
import { answer, createRequest, merging, noValidator, type Adjustment } from "./support.ts";

interface Case {
  readonly adjust?: Adjustment;
  readonly container?: MessageInitShape<typeof ContainerSchema>;
  readonly pod?: MessageInitShape<typeof PodSandboxSchema>;
}

function verdict(options: Partial<ValidatorOptions>, { adjust, container, pod }: Case) {
  const collector = merging.create(createRequest());
  if (adjust !== undefined) collector.add("10-a", answer(adjust));
  const { adjustment, owners } = collector.result();
  const { validate } = createMerging({ ...noValidator, enabled: true, ...options });
  return validate?.(
    create(ValidateContainerAdjustmentRequestSchema, {
      pod: pod ?? {},
      container: { id: "new", name: "main", ...container },
      ...(adjustment === undefined ? {} : { adjust: adjustment }),
      owners,
      plugins: [{ name: "a", index: "10" }],
    }),
  );
}

const seccomp: Adjustment = { linux: { seccompPolicy: { defaultAction: "SCMP_ACT_ALLOW" } } };
const withProfile = (profileType: Profile): Case => ({
  adjust: seccomp,
  container: { linux: { seccompProfile: { profileType } } },
});

describe("the built-in validator", () => {
  it("is off unless it is switched on, and then forbids nothing by itself", () => {
    expect(merging.validate).to.equal(undefined);
    const adjust = { ...seccomp, hooks: { prestart: [{ path: "/x" }] } };
    expect(verdict({}, { adjust })).to.equal(undefined);
  });

  const cases: [string, Partial<ValidatorOptions>, Case][] = [
    [
      "hooks",
      { rejectOciHookAdjustment: true },
      { adjust: { hooks: { poststop: [{ path: "/x" }] } } },
    ],
    [
      "namespaces",
      { rejectNamespaceAdjustment: true },
      { adjust: { linux: { namespaces: [{ type: "-network" }] } } },
    ],
    ["sysctls", { rejectSysctlAdjustment: true }, { adjust: { linux: { sysctl: { a: "1" } } } }],
    ["seccomp of an unconfined", { rejectUnconfinedSeccompAdjustment: true }, { adjust: seccomp }],
    [
      "seccomp of an unconfined",
      { rejectUnconfinedSeccompAdjustment: true },
      withProfile(Profile.UNCONFINED),
    ],
    [
      "runtime's default profile",
      { rejectRuntimeDefaultSeccompAdjustment: true },
      withProfile(Profile.RUNTIME_DEFAULT),
    ],
    ["profile of its own", { rejectCustomSeccompAdjustment: true }, withProfile(Profile.LOCALHOST)],
  ];
  for (const [what, options, input] of cases) {
    it(`rejects ${what} by ${Object.keys(options).join()}, and names the plugin`, () => {
      expect(verdict(options, input)).to.match(/^10-a/).and.contain(what);
      expect(verdict({}, input)).to.equal(undefined);
      expect(verdict(options, { ...input, adjust: { args: ["x"] } })).to.equal(undefined);
    });
  }

  it("wants the plugins of the list, by name or with the index", () => {
    expect(verdict({ requiredPlugins: ["a", "10-a"] }, {})).to.equal(undefined);
    expect(verdict({ requiredPlugins: ["b"] }, {})).to.equal(
      "the required NRI plugin b is not connected",
    );
    expect(verdict({ requiredPlugins: ["11-a", "b"] }, {})).to.equal(
      "the required NRI plugins 11-a, b are not connected",
    );
  });

  it("wants those of the annotation, the container's before the pod's", () => {
    const key = "required-plugins.noderesource.dev";
    const of = (annotations: Record<string, string>) => verdict({}, { pod: { annotations } });
    expect(of({ [key]: "[ b ]" })).to.contain("plugin b is");
    expect(of({ [key]: "[ b ]", [`${key}/pod`]: "[ a ]" })).to.equal(undefined);
    expect(of({ [`${key}/container.main`]: "- b", [`${key}/pod`]: "[ a ]" })).to.contain(
      "plugin b",
    );
    expect(of({ [`${key}/container.other`]: "- b" })).to.equal(undefined);
    expect(of({ [key]: "[ 10 ]" })).to.contain("plugin 10 is");
    expect(of({ [key]: "" })).to.equal(undefined);
    expect(of({ [key]: "a: b" })).to.contain("not a list of names");
    expect(of({ [key]: "[ [" })).to.match(/^annotation required-plugins/);
    expect(of({ [key]: "&a [*a]" })).to.match(/^annotation required-plugins/);
  });

  it("lets a pod do without by the toleration annotation alone", () => {
    const options = { requiredPlugins: ["b"], tolerateMissingPluginsAnnotation: "tolerate" };
    const of = (annotations: Record<string, string>) => verdict(options, { pod: { annotations } });
    expect(of({ tolerate: "true" })).to.equal(undefined);
    expect(of({ tolerate: "false" })).to.contain("plugin b");
    expect(of({ "tolerate/container.main": "1", tolerate: "0" })).to.equal(undefined);
    expect(of({ tolerate: "yes" })).to.contain("neither true nor false");
    expect(
      verdict({ requiredPlugins: ["b"] }, { pod: { annotations: { "": "true" } } }),
    ).to.contain("plugin b");
  });
});
