import type { DescMessage } from "@bufbuild/protobuf";
import {
  CreateContainerRequestSchema,
  CreateContainerResponseSchema,
  Event,
  PostCreateContainerRequestSchema,
  PostStartContainerRequestSchema,
  PostUpdateContainerRequestSchema,
  PostUpdatePodSandboxRequestSchema,
  RemoveContainerRequestSchema,
  RemovePodSandboxRequestSchema,
  RunPodSandboxRequestSchema,
  StartContainerRequestSchema,
  StopContainerRequestSchema,
  StopContainerResponseSchema,
  StopPodSandboxRequestSchema,
  UpdateContainerRequestSchema,
  UpdateContainerResponseSchema,
  UpdatePodSandboxRequestSchema,
  ValidateContainerAdjustmentRequestSchema,
  ValidateContainerAdjustmentResponseSchema,
} from "../gen/nri/v1alpha1/api_pb.js";

/** One event on the wire. */
export interface EventType<
  Request extends DescMessage = DescMessage,
  Response extends DescMessage | undefined = DescMessage | undefined,
> {
  readonly event: Event;
  readonly method: string;
  readonly request: Request;
  /** Undefined where the answer says nothing. */
  readonly response: Response;
  /** Plugins before v0.12 hear of it by StateChange alone. */
  readonly stateChange: boolean;
}

/** Every event, by its method. */
export const events = {
  RunPodSandbox: told("RunPodSandbox", Event.RUN_POD_SANDBOX, RunPodSandboxRequestSchema),
  UpdatePodSandbox: {
    ...told("UpdatePodSandbox", Event.UPDATE_POD_SANDBOX, UpdatePodSandboxRequestSchema),
    stateChange: false,
  },
  PostUpdatePodSandbox: told(
    "PostUpdatePodSandbox",
    Event.POST_UPDATE_POD_SANDBOX,
    PostUpdatePodSandboxRequestSchema,
  ),
  StopPodSandbox: told("StopPodSandbox", Event.STOP_POD_SANDBOX, StopPodSandboxRequestSchema),
  RemovePodSandbox: told(
    "RemovePodSandbox",
    Event.REMOVE_POD_SANDBOX,
    RemovePodSandboxRequestSchema,
  ),
  CreateContainer: {
    event: Event.CREATE_CONTAINER,
    method: "CreateContainer",
    request: CreateContainerRequestSchema,
    response: CreateContainerResponseSchema,
    stateChange: false,
  },
  PostCreateContainer: told(
    "PostCreateContainer",
    Event.POST_CREATE_CONTAINER,
    PostCreateContainerRequestSchema,
  ),
  StartContainer: told("StartContainer", Event.START_CONTAINER, StartContainerRequestSchema),
  PostStartContainer: told(
    "PostStartContainer",
    Event.POST_START_CONTAINER,
    PostStartContainerRequestSchema,
  ),
  UpdateContainer: {
    event: Event.UPDATE_CONTAINER,
    method: "UpdateContainer",
    request: UpdateContainerRequestSchema,
    response: UpdateContainerResponseSchema,
    stateChange: false,
  },
  PostUpdateContainer: told(
    "PostUpdateContainer",
    Event.POST_UPDATE_CONTAINER,
    PostUpdateContainerRequestSchema,
  ),
  StopContainer: {
    event: Event.STOP_CONTAINER,
    method: "StopContainer",
    request: StopContainerRequestSchema,
    response: StopContainerResponseSchema,
    stateChange: false,
  },
  RemoveContainer: told("RemoveContainer", Event.REMOVE_CONTAINER, RemoveContainerRequestSchema),
  ValidateContainerAdjustment: {
    event: Event.VALIDATE_CONTAINER_ADJUSTMENT,
    method: "ValidateContainerAdjustment",
    request: ValidateContainerAdjustmentRequestSchema,
    response: ValidateContainerAdjustmentResponseSchema,
    stateChange: false,
  },
} as const;

/** All bits of the mask; 0 means them, too. */
export const ALL_EVENTS = (1 << (Event.LAST - 1)) - 1;

function told<Request extends DescMessage>(
  method: string,
  event: Event,
  request: Request,
): EventType<Request, undefined> {
  return { event, method, request, response: undefined, stateChange: true };
}
