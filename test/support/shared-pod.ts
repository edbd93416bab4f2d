import type { Message, MessageInitShape } from "@bufbuild/protobuf";
import type { LinuxSandboxSecurityContextSchema } from "../../src/gen/runtime/v1/api_pb.js";
import { NamespaceMode } from "../../src/gen/runtime/v1/api_pb.js";
import { expectError, inspect } from "./containers.ts";
import type { SecurityInit } from "./containers.ts";
import { refused } from "./fields.ts";
import { startNode } from "./node.ts";
import type { TestNode } from "./node.ts";
import { leavesNothing } from "./oracle.ts";
import { containerConfig, createContainer, hostSandboxConfig, removePod, runPod } from "./pods.ts";
import type { ContainerInit, RunningPod, SandboxInit } from "./pods.ts";

type SandboxSecurity = Exclude<MessageInitShape<typeof LinuxSandboxSecurityContextSchema>, Message>;
const namespaceOptions = { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER };

/** Set from the suite's first hook on. */
export interface SharedPod {
  node: TestNode;
  pod: RunningPod;
}

/** A node and a pod for all tests of the suite that calls it; each test must leave nothing in them. */
export function sharedPod(): SharedPod {
  const shared = {} as SharedPod;
  before(async () => {
    shared.node = await startNode({ withoutNetwork: true });
    shared.pod = await runPod(shared.node, hostSandboxConfig(shared.node));
  });
  after(async () => {
    await removePod(shared.node, shared.pod);
    await shared.node.close();
  });
  leavesNothing(() => shared.node);
  return shared;
}

/** What tests of single fields do with such a pod. */
export function fieldTools(shared: SharedPod) {
  let count = 0;
  const config = (fields: ContainerInit, line = "sleep 1000"): ContainerInit => {
    count += 1;
    return containerConfig(line, { metadata: { name: `f${count}` }, ...fields });
  };
  return {
    config,
    secured: (securityContext: SecurityInit): ContainerInit => ({
      linux: { resources: {}, securityContext: { namespaceOptions, ...securityContext } },
    }),
    sandboxWith: (securityContext: SandboxSecurity): SandboxInit =>
      hostSandboxConfig(shared.node, {
        linux: { securityContext: { namespaceOptions, ...securityContext } },
      }),
    create: (fields: ContainerInit): Promise<string> =>
      createContainer(shared.node, shared.pod, config(fields)),
    refuse: async (row: string, call: Promise<unknown>, message: RegExp): Promise<void> =>
      refused(row, await expectError(call, "INVALID_ARGUMENT", message)),
    runSandbox: (sandbox: SandboxInit): Promise<unknown> =>
      shared.node.runtime.runPodSandbox({ config: sandbox }),
    pidOf: async (id: string): Promise<number> => (await inspect(shared.node, id)).State.Pid,
  };
}
