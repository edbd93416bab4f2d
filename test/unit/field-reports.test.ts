import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";

/** What people reported of other runtimes, and the test that shows it for this one. */
const reports: readonly (readonly [report: string, file: string, title: string])[] = [
  [
    "a create that timed out is asked for again",
    "integration/container-create.test.ts",
    "survives a lost answer of the engine, at each step",
  ],
  [
    "a pod's address is empty after the runtime was restarted",
    "integration/pod-network.test.ts",
    "two address families are both reported and work, over a restart too",
  ],
  [
    "an image that was imported and tagged is pulled all the same",
    "integration/field-reports.test.ts",
    "an image that was loaded and tagged by hand is found by its new name within 100 ms",
  ],
  [
    "a container killed for its memory shows Error",
    "integration/index-ends.test.ts",
    "is OOMKilled when the first process used too much memory",
  ],
  [
    "exec fails with kubelets that speak WebSocket to the runtime",
    "unit/streaming/websocket.test.ts",
    "carry stdin, output and status, and half-close with",
  ],
  [
    "log files are never rotated",
    "integration/logs.test.ts",
    "are reopened: the old file grows no more and the new one is there",
  ],
  [
    "CPU figures are wrong or missing",
    "integration/stats.test.ts",
    "measure a processor hog of a known share",
  ],
  [
    "dual stack is off",
    "integration/pod-network.test.ts",
    "two address families are both reported and work",
  ],
  [
    "the client's API is too new or too old for the engine",
    "integration/engine-away.test.ts",
    "is queried again when it is exchanged",
  ],
  [
    "NUL bytes in Docker's log file stop its readers",
    "integration/log-holes.test.ts",
    "are passed over: the lines around them are there once, over a restart too",
  ],
  [
    "a clean-up takes stopped containers that the kubelet still wants",
    "integration/prune.test.ts",
    "takes ended containers from the status and leaves their log; the pod goes on",
  ],
  [
    "host-network pods wait for the CNI",
    "integration/sandbox-cni-faults.test.ts",
    "without a configuration: the node says which folder to fill, host pods run, and it heals",
  ],
  [
    "a host without IPv6",
    "unit/convert/sysctls.test.ts",
    "enables IPv6 where the engine disables it",
  ],
  [
    "a kubelet is restarted in the middle of a grace period",
    "integration/field-reports.test.ts",
    "a stop that is asked for again sends TERM once, and the first grace runs on",
  ],
  [
    "a pod is removed after its CNI configuration",
    "integration/sandbox-cni-faults.test.ts",
    "a configuration that is deleted after ADD, and Dockline killed: remove frees the address",
  ],
  [
    "a running container's image is gone",
    "integration/field-reports.test.ts",
    "the status of a container survives its image, whose names are taken away by force",
  ],
  [
    "a clean-up takes the pause image",
    "integration/pause-image.test.ts",
    "is loaded again, the same, when somebody has removed it",
  ],
  [
    "large annotations",
    "integration/field-reports.test.ts",
    "annotations of 200 KiB come back whole, of pod and container",
  ],
  [
    "labels longer than a line of Docker's event stream",
    "integration/field-reports.test.ts",
    "labels beyond what one line of the event stream may hold end neither the stream nor the node",
  ],
  [
    "large and many variables",
    "integration/field-reports.test.ts",
    "5000 variables, and one beyond what the kernel takes, whose words reach the user",
  ],
];

describe("reports from the field", () => {
  for (const [report, file, title] of reports) {
    it(`have a test: ${report}`, () => {
      const path = join(import.meta.dirname, "..", file);
      expect(existsSync(path), file).to.equal(true);
      expect(readFileSync(path, "utf8")).to.include(title);
    });
  }
});
