import type { EngineFacts, NodeFacts } from "../../src/admin/doctor/facts.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { EngineInfo, EngineVersion } from "../../src/engine/types.ts";

/** A node on which the doctor finds nothing; `changes` plants a mistake. */
export function soundNode(changes: Partial<NodeFacts> = {}): NodeFacts {
  return {
    config: loadConfig({}).config,
    root: true,
    systemd: true,
    architecture: "amd64",
    engine: soundEngine(),
    engineTrouble: "",
    daemon: {
      path: "/etc/docker/daemon.json",
      settings: {},
      hosts: ["fd://"],
      tlsVerify: false,
      dataRoot: "/var/lib/docker",
    },
    kubelet: {
      sources: ["/var/lib/kubelet/kubeadm-flags.env", "/var/lib/kubelet/config.yaml"],
      config: "/var/lib/kubelet/config.yaml",
      endpoint: {
        value: "unix:///run/dockline/dockline.sock",
        from: "/var/lib/kubelet/config.yaml",
      },
      cgroupDriver: { value: "systemd", from: "/var/lib/kubelet/config.yaml" },
      removedFlags: [],
      troubles: [],
    },
    forward: { ipv4: "ACCEPT", ipv6: "ACCEPT", message: "" },
    ipForward: true,
    cni: { files: [{ name: "10-net.conflist", network: "net" }], plugins: [] },
    disks: [
      {
        path: "/var/lib/docker",
        what: "Docker's folder",
        images: true,
        freeBytes: 50 * 2 ** 30,
        freeBytesShare: 0.5,
        freeInodesShare: 0.9,
        readOnly: false,
      },
    ],
    dockerSocket: { path: "/var/run/docker.sock", mode: 0o660, group: "docker", answers: true },
    docklineSocket: {
      path: "/run/dockline/dockline.sock",
      mode: 0o660,
      group: "root",
      answers: true,
    },
    server: {
      conditions: ["RuntimeReady", "NetworkReady"].map((type) => ({
        type,
        status: true,
        message: "",
      })),
    },
    runc: { version: "1.3.6", changelog: "" },
    leftovers: { checkpoints: [], criDockerd: [], units: [] },
    editing: [
      { name: "dockline", program: "/usr/lib/dockline/dockline-oci", edits: "/run/dockline/oci" },
    ],
    edited: [],
    owed: { pods: [], records: [], limits: [] },
    dockerMounts: { pid: 7, propagation: "shared", snap: false },
    nri: { path: "/var/run/nri/nri.sock", docker: false, enabled: true, own: true },
    ...changes,
  };
}

export function soundEngine(changes: Partial<EngineInfo> = {}): EngineFacts {
  const version: Partial<EngineVersion> = { Version: "29.1.0" };
  const info: Partial<EngineInfo> = {
    Driver: "overlay2",
    DriverStatus: [["Supports d_type", "true"]],
    DockerRootDir: "/var/lib/docker",
    CgroupDriver: "systemd",
    CgroupVersion: "2",
    LoggingDriver: "json-file",
    LiveRestoreEnabled: true,
    SecurityOptions: ["name=seccomp,profile=builtin"],
    DefaultRuntime: "runc",
    ...changes,
  };
  return {
    version: version as EngineVersion,
    info: info as EngineInfo,
    api: [1, 52],
    pauseImage: undefined,
  };
}
