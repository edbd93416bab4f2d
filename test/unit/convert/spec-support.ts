import { create } from "@bufbuild/protobuf";
import { toContainerCreate, type ContainerSpecInput } from "../../../src/convert/container-spec.ts";
import { toSandboxCreate, type SandboxSpecInput } from "../../../src/convert/sandbox-spec.ts";
import {
  ContainerConfigSchema,
  PodSandboxConfigSchema,
} from "../../../src/gen/runtime/v1/api_pb.js";
import { modern } from "./support.ts";

export type SandboxInit = Parameters<typeof create<typeof PodSandboxConfigSchema>>[1];
export type ContainerInit = Parameters<typeof create<typeof ContainerConfigSchema>>[1];
export const imageId = `sha256:${"a".repeat(64)}`;

export const sandbox = (config: SandboxInit, change: Partial<SandboxSpecInput> = {}) =>
  toSandboxCreate({
    config: create(PodSandboxConfigSchema, config),
    name: "k8s_POD_a_b_c_0",
    runtimeHandler: "",
    labels: { l: "1" },
    pauseImage: "pause",
    engine: modern,
    ...change,
  });

export const container = (config: ContainerInit, change: Partial<ContainerSpecInput> = {}) =>
  toContainerCreate({
    config: create(ContainerConfigSchema, { image: { image: imageId }, ...(config as object) }),
    sandboxConfig: create(PodSandboxConfigSchema, {}),
    sandboxId: "s1",
    sandboxName: "k8s_POD_a_b_c_0",
    runtimeHandler: "",
    labels: { l: "1" },
    engine: modern,
    ...change,
  });

/** What neither image nor daemon.json may decide. */
export const alwaysSet = {
  RestartPolicy: { Name: "no" },
  AutoRemove: false,
  Init: false,
  LogConfig: {
    Type: "json-file",
    Config: { "max-size": "16m", "max-file": "4", compress: "false" },
  },
  CgroupnsMode: "private",
};
