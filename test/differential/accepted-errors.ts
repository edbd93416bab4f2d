import { posix } from "node:path";
import type { Accepted, Pair } from "./accepted.ts";
import type { Difference } from "./compare.ts";
import type { Outcome } from "./run-plan.ts";
import {
  NamespaceMode,
  SecurityProfile_ProfileType as Profile,
} from "../../src/gen/runtime/v1/api_pb.js";

const isOutcome = ({ what }: Difference): boolean => /^outcome\/(?:stage|code)$/.test(what);

/** Codes that say whose mistake it was; the others are failures of the node. */
const fitting = ["INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED"];

const order = ["RunPodSandbox", "CreateContainer", "StartContainer", "exited"];
const came = ({ stage }: { stage: string }): number => order.indexOf(stage);

type Container = NonNullable<Pair["container"]>;
type Security = NonNullable<NonNullable<Container["linux"]>["securityContext"]>;

const securityOf = (container: Container): Security => container.linux?.securityContext ?? {};
const resourcesOf = (container: Container) => container.linux?.resources ?? {};

/** What containerd says of its own: a failure of the node (UNAVAILABLE, a deadline, …) explains nothing. */
const said = ({ code }: Outcome): boolean =>
  code === undefined || code === "UNKNOWN" || code === "NOT_FOUND";

/**
 * Dockline refuses with this code and a message of this form, since the configuration has what the row is about;
 * containerd runs it, or refuses something else.
 */
const refusal = (
  point: string,
  shownBy: string,
  message: RegExp,
  asked: (container: Container) => boolean,
  code = "INVALID_ARGUMENT",
): Accepted => ({
  point,
  shownBy,
  accepts: (difference, { container, dockline, containerd }) =>
    isOutcome(difference) &&
    container !== undefined &&
    asked(container) &&
    dockline.stage === "CreateContainer" &&
    dockline.code === code &&
    message.test(dockline.message ?? "") &&
    said(containerd),
});

/**
 * Containerd, or its OCI runtime, refuses with a message of this form what the configuration has; Dockline runs it, or
 * refuses something else by name.
 */
const permission = (
  point: string,
  shownBy: string,
  message: RegExp,
  asked: (pair: Pair) => boolean,
): Accepted => ({
  point,
  shownBy,
  accepts: (difference, pair) =>
    isOutcome(difference) &&
    asked(pair) &&
    pair.containerd.code === "UNKNOWN" &&
    message.test(pair.containerd.message ?? "") &&
    (pair.dockline.stage === "exited" || refusesByName(pair.dockline)),
});

const refusesByName = ({ code, stage }: Outcome): boolean =>
  fitting.includes(code ?? "") || (code === "INTERNAL" && stage === "StartContainer");

/** A permission that goes by the container alone. */
const ofContainer =
  (asked: (container: Container) => boolean) =>
  ({ container }: Pair): boolean =>
    container !== undefined && asked(container);

const sameStage = ({ dockline, containerd }: Pair): boolean => came(dockline) === came(containerd);

export const acceptedErrors: readonly Accepted[] = [
  {
    point: "Error codes",
    shownBy: "security / user below zero",
    accepts: ({ what }, pair) =>
      what === "outcome/code" &&
      sameStage(pair) &&
      ["UNKNOWN", "NOT_FOUND"].includes(pair.containerd.code ?? "") &&
      // A program that cannot be run is only found by the OCI runtime, whose error has no kind.
      (fitting.includes(pair.dockline.code ?? "") ||
        (pair.dockline.code === "INTERNAL" && pair.dockline.stage === "StartContainer")),
  },
  {
    point: "Invalid values are refused early",
    shownBy: "process / working directory that is relative",
    accepts: (difference, { dockline, containerd }) =>
      isOutcome(difference) &&
      containerd.code === "UNKNOWN" &&
      came(dockline) < came(containerd) &&
      fitting.includes(dockline.code ?? ""),
  },
  refusal(
    "Relative mount points",
    "mounts / target relative",
    /^mounts\[\d+\]\.container_path: .* is not absolute$/,
    ({ mounts = [] }) => mounts.some(({ containerPath = "" }) => !containerPath.startsWith("/")),
  ),
  {
    ...refusal(
      "Capabilities that the engine does not know",
      "security / newer capability added",
      /unknown capability: "CAP_(?:PERFMON|BPF|CHECKPOINT_RESTORE)"/,
      (container) =>
        (securityOf(container).capabilities?.addCapabilities ?? []).some((name) =>
          /^(?:CAP_)?(?:PERFMON|BPF|CHECKPOINT_RESTORE)$/i.test(name),
        ),
    ),
    onlyWhere: ({ apiMinor }) => apiMinor < 42,
  },
  refusal(
    "Capabilities that do not exist",
    "security / capability that is none",
    /unknown capability/,
    (container) => {
      const { addCapabilities = [], dropCapabilities = [] } =
        securityOf(container).capabilities ?? {};
      return [...addCapabilities, ...dropCapabilities].includes("NOT_ONE");
    },
  ),
  refusal(
    "Supplemental groups out of range",
    "security / group below zero",
    /^supplemental_groups: -?\d+ is not in/,
    (container) =>
      (securityOf(container).supplementalGroups ?? []).some(
        (group) => group < 0n || group > 2n ** 31n - 1n,
      ),
  ),
  refusal(
    "Relative masked and read-only paths",
    "security / masked path that is relative",
    /^(?:masked|readonly)_paths: .* is not absolute$/,
    (container) => {
      const { maskedPaths = [], readonlyPaths = [] } = securityOf(container);
      return [...maskedPaths, ...readonlyPaths].some((path) => !path.startsWith("/"));
    },
  ),
  refusal(
    "Device permissions that do not exist",
    "security / device with odd permissions",
    /^devices\[\d+\]\.permissions: .* is not of "rwm"$/,
    ({ devices = [] }) => devices.some(({ permissions = "" }) => /[^rwm]/.test(permissions)),
  ),
  refusal(
    "CPU sets in words",
    "resources / cpuset of words",
    /^resources\.cpuset_(?:cpus|mems): not a list of numbers and ranges$/,
    (container) => {
      const { cpusetCpus = "", cpusetMems = "" } = resourcesOf(container);
      return /[a-z]/.test(cpusetCpus + cpusetMems);
    },
  ),
  {
    ...refusal(
      "Recursive read-only mounts on old engines",
      "mounts / recursively read-only",
      /^RROUnsupported: /,
      ({ mounts = [] }) => mounts.some(({ recursiveReadOnly }) => recursiveReadOnly === true),
    ),
    onlyWhere: ({ apiMinor }) => apiMinor < 44,
  },
  {
    point: "Directories over /etc/hosts, /etc/hostname and /etc/resolv.conf",
    shownBy: "mounts / a folder over the hostname",
    accepts: (difference, { container, dockline, containerd }) =>
      isOutcome(difference) &&
      (container?.mounts ?? []).some(({ containerPath = "" }) =>
        /^\/etc\/(?:hosts|hostname|resolv\.conf)\/?$/.test(containerPath),
      ) &&
      containerd.code === undefined &&
      dockline.stage === "StartContainer" &&
      dockline.code === "INTERNAL" &&
      /to rootfs at "\/etc\/(?:hosts|hostname|resolv\.conf)".*not a directory/s.test(
        dockline.message ?? "",
      ),
  },
  permission(
    "Image volumes without readonly",
    "an image not said to be read-only / an image not said to be read-only",
    /readonly must be true while mount image/,
    ofContainer(({ mounts = [] }) =>
      mounts.some(({ image, readonly }) => image !== undefined && readonly !== true),
    ),
  ),
  {
    ...permission(
      "AppArmor's default profile on a node without AppArmor",
      "security / AppArmor default",
      /apparmor is not supported/,
      // Of the pause container too.
      ({ plan, container }) =>
        (container === undefined ? plan.sandbox : container).linux?.securityContext?.apparmor
          ?.profileType === Profile.RuntimeDefault,
    ),
    onlyWhere: ({ apparmor }) => !apparmor,
  },
  permission(
    "CPU shares of 1",
    "resources / cpu shares 1",
    /the minimum allowed cpu-shares is 2$/,
    ofContainer((container) => resourcesOf(container).cpuShares === 1n),
  ),
  permission(
    "Several mounts at one mount point",
    "mounts / same target twice, a file and then a folder",
    /error mounting ".*" to rootfs at ".*".*not a directory/s,
    ofContainer(({ mounts = [] }) => {
      const targets = mounts.map(({ containerPath = "" }) => posix.join("/", containerPath, "."));
      return new Set(targets).size < targets.length;
    }),
  ),
  permission(
    "CPU quota below 1 ms per period",
    "resources / cpu quota below 1 ms",
    /failed to write "\d+": write \S*\/(?:cpu\.cfs_quota_us|cpu\.max): invalid argument/,
    ofContainer((container) => {
      const { cpuQuota = 0n } = resourcesOf(container);
      return cpuQuota > 0n && cpuQuota < 1000n;
    }),
  ),
  permission(
    "`run_as_group` of a sandbox without a user",
    "group without user",
    /user group "\d+" is specified without user$/,
    ({ plan, container }) => {
      const { runAsUser, runAsGroup } = plan.sandbox.linux?.securityContext ?? {};
      return container === undefined && runAsGroup !== undefined && runAsUser === undefined;
    },
  ),
  permission(
    "A hostname for a pod in the node's network",
    "host network with a hostname",
    /unable to set hostname without a private UTS namespace/,
    ({ plan }) =>
      plan.sandbox.linux?.securityContext?.namespaceOptions?.network === NamespaceMode.NODE &&
      (plan.sandbox.hostname ?? "") !== "",
  ),
];
