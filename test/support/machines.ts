/** A kind of machine in docs/compatibility.md. */
export interface Machine {
  readonly machine: string;
  readonly does: string;
  /** The test, or why there is none. */
  readonly seenBy: string;
}

const file = "`integration/machines.test.ts`";

/** What was tried beyond engine, store, cgroups and runtime; the titles are checked against the tests. */
export const machines: readonly Machine[] = [
  {
    machine: "Docker's data root is a symbolic link",
    does: "as anywhere; Docker says the folder behind the link, and Dockline looks there",
    seenBy: `${file} "runs pods where the data root is a symbolic link"`,
  },
  {
    machine: "The data root was moved while Docker was down",
    does: "old pods are stopped and removed, new ones run, and figures come from the new folder, without a restart of Dockline",
    seenBy: `${file} "goes on where the data root was moved"`,
  },
  {
    machine: "The data root is a disk of its own",
    does: "ImageFsInfo shows that disk, for images and for containers",
    seenBy: `${file} "shows the disk that the data root is"`,
  },
  {
    machine: "`/etc` is read-only",
    does: "pods run; `dockline install-runtime` fails with the path that it cannot write",
    seenBy: `${file} "runs pods where /etc is read-only"`,
  },
  {
    machine: "The kernel has no IPv6",
    does: "pods run and have their network and figures",
    seenBy:
      '`cgroup2/node.test.ts` "is in the kubelet\'s cgroups, and leaves none", by hand: `test/lanes/uml --kernel ipv6.disable=1`',
  },
  {
    machine: "Docker in a private mount namespace",
    does: "pods run and have their network, and `dockline doctor` reports that volumes of the kubelet do not reach Docker",
    seenBy: `${file} "runs pods of a Docker with mounts of its own, and says what is wrong there"`,
  },
  {
    machine: "Docker in rootless mode",
    does: "RuntimeReady is false with the reason `DockerIsRootless`, RuntimeConfig fails, and `dockline doctor` has an error",
    seenBy: `${file} "is not ready with a rootless Docker, and says why"`,
  },
];
