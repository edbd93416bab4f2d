/*
 * src/logs: Docker's log files copied to CRI log files, resumable after a kill.
 * Not here: requests to Docker, and knowledge of pods: it gets paths.
 */

/** Where one container's output is read and where the CRI wants it. */
export interface LogTarget {
  containerId: string;
  /** Docker's json-file, `<root>/containers/<id>/<id>-json.log`. */
  sourcePath: string;
  /** PodSandboxConfig.log_directory, absolute. */
  logDirectory: string;
  /** ContainerConfig.log_path, relative to the folder. */
  logPath: string;
  /** `cri`: lines are rewritten by the pump. `docker-json`: a symlink to Docker's file. */
  format: "cri" | "docker-json";
}

/** A log that an earlier process may have written to. */
export interface ResumedLog extends LogTarget {
  /**
   * The container runs: without a position it goes on behind the log's last line, and a log that is gone is
   * made again. That of a container that has exited is not.
   */
  running?: boolean;
}

/** How far the pumps are, for metrics. */
export interface LogLag {
  /** Containers that are followed now. */
  containers: number;
  /** Bytes in Docker's files that are not in a CRI log yet. */
  bytesBehind: number;
  /** Least number of source bytes that were rotated away unread. */
  lostBytes: bigint;
  /** Bytes written to CRI logs. */
  pumpedBytes: bigint;
  /** Source lines that were no log entry: halves left by a crash, foreign text. */
  unreadableLines: bigint;
  /** Mount points of container logs that have not answered for 10 s. */
  hung: string[];
}

export interface ContainerLogs {
  /**
   * Begins or resumes following; may be repeated. The CRI file exists when it resolves; the source
   * need not exist yet. Throws InvalidArgument for a path that leaves the log directory or meets a
   * symlink.
   */
  start(target: ResumedLog): Promise<void>;
  /**
   * For a container that has exited: everything that Docker wrote is in the CRI file when it
   * resolves with true, which is what the kubelet's termination message needs. False after
   * `timeoutMs`; the pump goes on then.
   */
  drain(containerId: string, timeoutMs: number): Promise<boolean>;
  /**
   * ReopenContainerLog: when it resolves the path exists and the file that was there before, should
   * it have been renamed, is written no more. NotFound for a container that is not followed.
   */
  reopen(containerId: string): Promise<void>;
  /**
   * RemoveContainer: ends following and forgets the position. Unlinks our own symlink; a CRI log
   * file is the kubelet's to delete. An unknown container is as good as removed.
   */
  remove(containerId: string): Promise<void>;
  /**
   * After a restart: goes on with each target that has a saved position or a log, or that runs, and drops the
   * positions of all other containers. Without a position it goes on behind the log's last line. One that
   * cannot be resumed is logged, does not stop the rest, and is tried again every 5 s.
   */
  resume(targets: ResumedLog[]): Promise<void>;
  lag(): LogLag;
  /** Saves the positions and lets go of every file. */
  close(): Promise<void>;
}
