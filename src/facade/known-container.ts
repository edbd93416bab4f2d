/** A container as cAdvisor asks for it by the last part of its cgroup's name. */
export interface KnownContainer {
  id: string;
  kind: "podsandbox" | "container";
  podName: string;
  podNamespace: string;
  podUid: string;
  /** The CRI's name; "" for a pause container. */
  containerName: string;
  /** The CRI's labels. */
  labels: Readonly<Record<string, string>>;
  image: string;
  /** 0 while it does not run, and until the engine has told. */
  pid: number;
  state: "created" | "running" | "paused" | "exited";
  exitCode: number;
}

/** Looks into memory, never at the engine. */
export interface KnownContainers {
  /**
   * Undefined for what is not a container of ours. Waits a short while when it is not known yet
   * whether it is, as right after a start; with `pid`, until its process is known as well.
   */
  find(id: string, wanted?: "pid"): Promise<KnownContainer | undefined>;
}
