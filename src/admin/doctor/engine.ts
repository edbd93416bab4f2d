import { isRootless } from "../../convert/engine-facts.ts";
import { usesContainerdStore } from "../../convert/pinned.ts";
import { options } from "../../config/options.ts";
import type { NodeFacts } from "./facts.ts";
import { error, ok, warning, withoutEngine } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { leadsTo } from "./kubelet.ts";

const good = ["overlay2", "overlayfs"];

const usualEndpoint = options.dockerEndpoint.default;

export function checkEngine(node: NodeFacts): Finding {
  const { engine, engineTrouble, config, root, dockerSocket } = node;
  const check = "engine";
  if (engine === undefined) {
    // No start of Docker makes a socket at a path that somebody mistyped.
    const isElsewhere =
      dockerSocket.mode === undefined &&
      dockerSocket.denied !== true &&
      !leadsTo(usualEndpoint, dockerSocket.path);
    return error(
      check,
      `Docker does not answer at ${config.dockerEndpoint}: ${engineTrouble}`,
      "RuntimeReady is false and the kubelet makes no pod; what runs goes on",
      ...(root ? [] : ["sudo dockline doctor"]),
      isElsewhere
        ? `in /etc/dockline/config.yaml: dockerEndpoint: ${usualEndpoint}`
        : "systemctl start docker",
      "journalctl -u docker -n 50",
    );
  }
  const [major, minor] = engine.api;
  const speaks = `Docker Engine ${engine.version.Version}, API ${major}.${minor}`;
  if (major === 1 && minor < 41) {
    return error(
      check,
      `${speaks}: 1.41 (Docker 20.10) is the least that Dockline can use`,
      "requests that Dockline needs do not exist there",
      "apt-get install docker.io",
    );
  }
  if (isRootless(engine.info)) {
    return error(
      check,
      `${speaks}, in rootless mode`,
      "RuntimeReady is false: pods can have neither a network of the node's nor limits",
      "dockerd-rootless-setuptool.sh uninstall   # as the user who runs it",
      "systemctl enable --now docker",
    );
  }
  const cdi = (engine.info.CDISpecDirs ?? []).length > 0;
  const missing = [
    ...(minor < 48 ? ["image volumes need Docker 28"] : []),
    ...(minor < 44 ? ["CDI devices need Docker 25 or dockline-oci"] : []),
    ...(minor >= 44 && !cdi
      ? ['CDI is off: CDI devices need "features": {"cdi": true} in daemon.json, or dockline-oci']
      : []),
  ];
  return ok(check, missing.length === 0 ? speaks : `${speaks} (${missing.join("; ")})`);
}

export function checkStorage({ engine }: NodeFacts): Finding {
  const check = "storage";
  if (engine === undefined) return withoutEngine(check);
  const { Driver, DriverStatus } = engine.info;
  const status = new Map(DriverStatus ?? []);
  const store = usesContainerdStore(engine.info)
    ? "containerd's image store"
    : "Docker's own image store";
  if (!good.includes(Driver)) {
    return warning(
      check,
      `the storage driver is ${Driver}`,
      "writable layers have no figures, so the kubelet cannot evict a pod that fills " +
        "the disk; pods have no user namespaces. A change hides all images: drain first",
      'in daemon.json: "storage-driver": "overlay2"',
      "systemctl restart docker",
    );
  }
  if (status.get("Supports d_type") === "false") {
    return error(
      check,
      `${Driver} on a file system without d_type (${status.get("Backing Filesystem") ?? "?"})`,
      "files that an image deletes come back and containers misbehave in odd ways",
      "mkfs.xfs -n ftype=1 DEVICE   # empties it",
    );
  }
  return ok(check, `${Driver}, ${store}`);
}

export function checkLiveRestore({ engine, daemon }: NodeFacts): Finding {
  const check = "live-restore";
  if (engine === undefined) return withoutEngine(check);
  if (engine.info.LiveRestoreEnabled) return ok(check, "containers survive a restart of Docker");
  return warning(
    check,
    "live-restore is off",
    "each restart or upgrade of Docker ends every container of the node",
    `in ${daemon.path}: "live-restore": true`,
    "systemctl reload docker",
  );
}

export function checkLogDriver({ engine, daemon }: NodeFacts): Finding {
  const check = "log-driver";
  if (engine === undefined) return withoutEngine(check);
  const { LoggingDriver } = engine.info;
  if (LoggingDriver !== "json-file") {
    return warning(
      check,
      `Docker's log driver is ${LoggingDriver}`,
      "Dockline's containers get json-file all the same; those that cri-dockerd made " +
        "have no log that kubectl can show until they are recreated",
      `in ${daemon.path}: "log-driver": "json-file"`,
      "systemctl restart docker",
    );
  }
  const options = daemon.settings["log-opts"] as { mode?: unknown } | undefined;
  if (options?.mode === "non-blocking") {
    return warning(
      check,
      "log-opts has mode=non-blocking",
      "Docker drops lines of a container that logs fast; nobody can see that they are missing",
      `in ${daemon.path}: take "mode" out of "log-opts"`,
      "systemctl restart docker",
    );
  }
  return ok(check, "json-file");
}

export function checkPauseImage({ engine, config, architecture }: NodeFacts): Finding {
  const check = "pause-image";
  if (engine === undefined) return withoutEngine(check);
  const reference = config.podInfraContainerImage;
  const image = engine.pauseImage;
  if (image === undefined) {
    const embedded = /:[\w][\w.-]*$/.test(reference) && !reference.includes("@");
    if (embedded) {
      return ok(check, `${reference} is pulled with the first pod, or the built-in one is loaded`);
    }
    return warning(
      check,
      `${reference} is not on this node, and the built-in image cannot take a name without a tag`,
      "there are no pods unless a registry gives it",
      "take podInfraContainerImage out of Dockline's configuration",
    );
  }
  if (image.Architecture !== architecture) {
    return error(
      check,
      `${reference} is for ${image.Architecture}, this machine is ${architecture}`,
      'every pod fails with "exec format error"',
      `docker image rm -f ${reference}`,
    );
  }
  return ok(check, `${reference} is on this node`);
}

/** Names of an image shown at most; a node that was filled by hand has many. */
const shownImages = 5;

export function checkLocalImages({ engine, config, kubelet }: NodeFacts): Finding {
  const check = "local-images";
  if (engine === undefined) return withoutEngine(check);
  const { localImages } = engine;
  if (config.pinLocalImages)
    return ok(check, "images that no registry is known to have are pinned");
  if (localImages === undefined) {
    return ok(check, "this engine does not say which images were loaded or built here");
  }
  if (localImages.length === 0) return ok(check, "each image has a registry, or is pinned");
  if (kubelet.keepsImages === true) {
    return ok(check, "images that no registry is known to have stay: the kubelet removes none");
  }
  const names = localImages.slice(0, shownImages).join(", ");
  const more = localImages.length - shownImages;
  return warning(
    check,
    `no registry is known to have ${names}${more > 0 ? ` and ${more} more` : ""}`,
    "when a disk gets full, the kubelet removes images that no container uses; these could not be " +
      "pulled again",
    "in /etc/dockline/config.yaml: pinLocalImages: true",
    `in /etc/dockline/config.yaml: pinnedImages: ["${localImages[0] ?? ""}"]`,
  );
}
