/**
 * Merges plugins' answers for the Go test beside it: a case on each line of stdin, its result on each line of stdout,
 * all messages as protobuf's JSON.
 */
import { create, fromJson, toJson, type JsonValue } from "@bufbuild/protobuf";
import { createInterface } from "node:readline";
import { errorText } from "../../../src/errors.ts";
import {
  ContainerAdjustmentSchema,
  ContainerSchema,
  ContainerUpdateSchema,
  CreateContainerRequestSchema,
  CreateContainerResponseSchema,
  LinuxResourcesSchema,
  OwningPluginsSchema,
  UpdateContainerRequestSchema,
  UpdateContainerResponseSchema,
} from "../../../src/gen/nri/v1alpha1/api_pb.js";
import { createMerging } from "../../../src/nri/merging.ts";

interface Case {
  readonly event: "create" | "update";
  readonly request: JsonValue;
  readonly answers: readonly { readonly plugin: string; readonly response: JsonValue }[];
}

const merging = createMerging({
  enabled: false,
  rejectOciHookAdjustment: false,
  rejectRuntimeDefaultSeccompAdjustment: false,
  rejectUnconfinedSeccompAdjustment: false,
  rejectCustomSeccompAdjustment: false,
  rejectNamespaceAdjustment: false,
  rejectSysctlAdjustment: false,
  requiredPlugins: [],
  tolerateMissingPluginsAnnotation: "",
});

function created({ request, answers }: Case): object {
  const collector = merging.create(fromJson(CreateContainerRequestSchema, request));
  for (const { plugin, response } of answers) {
    collector.add(plugin, fromJson(CreateContainerResponseSchema, response));
  }
  const { adjustment, updates, owners } = collector.result();
  const seen = collector.request.container ?? create(ContainerSchema);
  return {
    adjust: toJson(ContainerAdjustmentSchema, adjustment ?? create(ContainerAdjustmentSchema)),
    updates: updates.map((one) => toJson(ContainerUpdateSchema, one)),
    owners: toJson(OwningPluginsSchema, owners),
    seen: toJson(ContainerSchema, seen),
  };
}

function updated({ request, answers }: Case): object {
  const collector = merging.update(fromJson(UpdateContainerRequestSchema, request));
  for (const { plugin, response } of answers) {
    collector.add(plugin, fromJson(UpdateContainerResponseSchema, response));
  }
  const { resources, updates } = collector.result();
  return {
    resources: toJson(LinuxResourcesSchema, resources ?? create(LinuxResourcesSchema)),
    updates: updates.map((one) => toJson(ContainerUpdateSchema, one)),
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line) as Case;
  let result: object;
  try {
    result = asked.event === "create" ? created(asked) : updated(asked);
  } catch (error) {
    result = { error: errorText(error) };
  }
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
