import {
  MountPropagation,
  NamespaceMode,
  SupplementalGroupsPolicy as Policy,
} from "../../src/gen/runtime/v1/api_pb.js";
import type { Accepted, Pair } from "./accepted.ts";
import type { Difference } from "./compare.ts";
import { capabilityPoints } from "./capabilities.ts";

type Test = (difference: Difference, pair: Pair) => boolean;

const seen = (point: string, shownBy: string, what: RegExp, accepts: Test): Accepted => ({
  point,
  shownBy,
  accepts: (difference, pair) => what.test(difference.what) && accepts(difference, pair),
});

const ordinary = "process / ordinary";

/** What a folder holds, without the names that only one of the runtimes puts there. */
const withoutNames = (text: string | undefined, names: readonly string[]): string =>
  names.reduce((left, name) => left.replace(`"${name}",`, ""), text ?? "");

const groupsOf = (text = "[]"): string[] => (JSON.parse(text) as string[]).sort();
const isSame = (one: string[], other: string[]): boolean => one.join() === other.join();

const lines = (text: string | undefined): string[] => (text ?? "").split("\n");

/** Paths that Docker masks or protects where nothing is said. */
const dockerPaths =
  /^mounts\/\/(?:proc\/(?:acpi|asound|bus|fs|interrupts|irq|kcore|keys|latency_stats|sched_debug|scsi|sys|sysrq-trigger|timer_list|timer_stats)|sys\/(?:firmware|devices\/virtual\/powercap)|sys\/devices\/system\/cpu\/.*\/thermal_throttle) /;

export const acceptedSights: readonly Accepted[] = [
  seen(
    "/dev/console in the device cgroup",
    ordinary,
    /^limits\/devices\/devices\.list$/,
    ({ dockline, containerd }) =>
      lines(dockline)
        .filter((line) => line !== "c 5:1 rwm")
        .join("\n") === lines(containerd).join("\n"),
  ),
  seen(
    "/.dockerenv",
    ordinary,
    /^mounts\/\/ content$/,
    ({ dockline, containerd }) => withoutNames(dockline, [".dockerenv"]) === containerd,
  ),
  seen(
    "Propagation of mounts that nobody asked for",
    "mounts / propagation both ways",
    /^mounts\/.* propagation$/,
    ({ what, dockline, containerd }, { container }) => {
      const mounts = container?.mounts ?? [];
      const asked = mounts.some(({ containerPath = "" }) =>
        what.startsWith(`mounts/${containerPath.replace(/\/$/, "")}`),
      );
      // One that goes both ways makes everything shared with containerd, what was asked to be private as well.
      const bothWays = mounts.some(
        ({ propagation }) => propagation === MountPropagation.PROPAGATION_BIDIRECTIONAL,
      );
      if (bothWays && containerd === [dockline, "shared"].filter(Boolean).join()) return true;
      return (
        !asked &&
        [dockline, containerd].every((one) => ["", "master", "shared"].includes(one ?? ""))
      );
    },
  ),
  seen(
    "Propagation of mounts over /etc/hosts, /etc/hostname and /etc/resolv.conf",
    "mounts / propagation over what the runtime mounts",
    /^mounts\/\/etc\/(?:hosts|hostname|resolv\.conf) propagation$/,
    ({ dockline, containerd }) => dockline === "" && containerd !== "",
  ),
  {
    ...seen(
      "Private mounts with Docker's data root in them",
      "mounts / the node's root",
      /^mounts\/\/host propagation$/,
      ({ dockline, containerd }) => dockline === "master" && containerd === "",
    ),
    onlyWhere: ({ sharedRoot }) => sharedRoot,
  },
  seen(
    "/dev/shm",
    ordinary,
    /^mounts\/\/dev\/shm options$/,
    ({ dockline, containerd }) =>
      dockline === "nodev,noexec,nosuid,relatime,rw" && containerd === "relatime,rw",
  ),
  seen(
    "Pods without a cgroup parent",
    ordinary,
    /^limits\/cgroup$/,
    ({ dockline, containerd }, { plan }) =>
      (plan.sandbox.linux?.cgroupParent ?? "") === "" &&
      /^\/docker\/<container>$/.test(dockline ?? "") &&
      containerd === "/k8s.io/<container>",
  ),
  seen(
    "/etc/hosts that the kubelet does not mount",
    ordinary,
    /^(?:names\/\/etc\/hosts|mounts\/\/etc\/hosts content)$/,
    ({ dockline, containerd }) =>
      [dockline, containerd].every((one) =>
        /127\.0\.0\.1\s*localhost|127\.0\.0\.1\\tlocalhost/.test(one ?? ""),
      ),
  ),
  seen(
    "Masked paths without a security context",
    "process / without a linux part",
    dockerPaths,
    ({ containerd }, { container }) =>
      container?.linux?.securityContext === undefined && containerd === undefined,
  ),
  seen(
    "OOM scores below the node's own",
    "resources / OOM score below the node's",
    /^(?:limits\/OOM score|status\/resources\.linux\.oomScoreAdj)$/,
    ({ what, dockline, containerd }, { container }) => {
      const asked = Number(container?.linux?.resources?.oomScoreAdj ?? 0n);
      // containerd raises to the score that it runs with itself.
      return what.startsWith("status/")
        ? Number(dockline) === asked
        : asked <= 0 && Number(dockline) <= Number(containerd);
    },
  ),
  seen(
    "Resources in ContainerStatus",
    "resources / memory",
    /^status\/resources\.linux\.(?:memorySwapLimitInBytes|memoryLimitInBytes|hugepageLimits)$/,
    ({ what, dockline, containerd }, { container }) => {
      const asked = container?.linux?.resources ?? {};
      if (what.endsWith("hugepageLimits")) return containerd === undefined;
      const swap = what.endsWith("memorySwapLimitInBytes");
      const said = (swap ? asked.memorySwapLimitInBytes : asked.memoryLimitInBytes) ?? 0n;
      return Number(said) <= 0 && dockline === undefined;
    },
  ),
  seen(
    "Pods without a hostname",
    "no hostname / name",
    /^(?:names\/hostname|names\/\/etc\/hostname|mounts\/\/etc\/hostname content|process\/env HOSTNAME)$/,
    ({ dockline }, { plan }) =>
      (plan.sandbox.hostname ?? "") === "" && (dockline ?? "").includes("<pod short>"),
  ),
  seen(
    "A process's own group in ContainerStatus.user",
    "security / strict as root",
    /^status\/user\.linux\.supplementalGroups$/,
    ({ dockline, containerd }, { container }) =>
      container?.linux?.securityContext?.supplementalGroupsPolicy === Policy.Strict &&
      isSame(
        groupsOf(dockline).filter((group) => group !== "0"),
        groupsOf(containerd),
      ),
  ),
  seen(
    "The image in ContainerStatus",
    "process / image as the user called it",
    /^status\/image$/,
    ({ dockline = "{}", containerd = "{}" }) => {
      const [shown, less] = [dockline, containerd].map((one) => JSON.parse(one) as object);
      return Object.entries(less ?? {}).every(
        ([key, value]) => (shown as Record<string, unknown> | undefined)?.[key] === value,
      );
    },
  ),
  {
    ...seen(
      "Memory limits below 6 MiB without dockline-oci",
      "resources / memory below Docker's floor",
      /^limits\/memory\/memory\.(?:memsw\.)?limit_in_bytes$|^limits\/memory\.max$/,
      (_difference, { container }) => {
        const limit = container?.linux?.resources?.memoryLimitInBytes ?? 0n;
        return limit > 0n && limit < 6n << 20n;
      },
    ),
  },
  seen(
    "Process ids of the node in a pod that has its own",
    "security / the node's pids",
    /^namespaces\//,
    ({ what, dockline, containerd }, { plan, container }) =>
      container?.linux?.securityContext?.namespaceOptions?.pid === NamespaceMode.NODE &&
      plan.sandbox.linux?.securityContext?.namespaceOptions?.pid !== NamespaceMode.NODE &&
      (what.endsWith("pid")
        ? dockline === "host" && containerd === "own"
        : what.includes("first process")),
  ),
  {
    ...seen(
      "Image volumes are copies on old engines",
      "an image / an image",
      /^mounts\/\/m (?:type|root)$/,
      ({ what, dockline, containerd }, { container }) =>
        (container?.mounts ?? []).some(({ image }) => image !== undefined) &&
        (what.endsWith("type")
          ? containerd === "overlay"
          : containerd === "" && /\/image-volumes\/[0-9a-f]{64}/.test(dockline ?? "")),
    ),
    onlyWhere: ({ apiMinor }) => apiMinor < 48,
  },
  seen(
    "Image volumes in ContainerStatus",
    "an image / an image",
    /^status\/mounts \d+$/,
    ({ dockline, containerd }) =>
      /"image":/.test(dockline ?? "") &&
      dockline === (containerd ?? "").replace(/"hostPath":"[^"]*",/, ""),
  ),
  ...capabilityPoints.map(({ point, shownBy, onlyWhere, explains }) => ({
    ...seen(point, shownBy, /^rights\/Cap(?:Bnd|Eff|Prm)$|^mounts\/.* content$/, explains),
    ...(onlyWhere === undefined ? {} : { onlyWhere }),
  })),
];
