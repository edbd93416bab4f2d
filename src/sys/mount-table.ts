/** One mount of this process's mount namespace. */
export interface MountEntry {
  readonly id: number;
  readonly point: string;
  /** "ext4", "nfs4", "fuse.sshfs". */
  readonly type: string;
}

/**
 * The mounts of a mount namespace, as a walk along a path meets them. A longest matching mount point
 * is not enough: a later mount higher up hides the ones below it.
 */
export class MountTable {
  /** What "/" is. */
  readonly root: MountEntry;
  readonly #children = new Map<string, MountEntry>();

  /** @param mountinfo text of /proc/self/mountinfo (proc(5)) */
  constructor(mountinfo: string) {
    const ids = new Set<number>();
    const parents: number[] = [];
    const tops: { parent: number; entry: MountEntry }[] = [];
    for (const line of mountinfo.split("\n")) {
      const separator = line.indexOf(" - ");
      if (separator === -1) continue;
      const [id = "", parent = "", , , point = ""] = line.split(" ", 5);
      const type = line.slice(separator + 3).split(" ", 1)[0] ?? "";
      const entry = { id: Number(id), point: unescaped(point), type };
      ids.add(entry.id);
      parents.push(Number(parent));
      this.#children.set(`${parent}:${entry.point}`, entry);
      if (entry.point === "/") tops.push({ parent: Number(parent), entry });
    }
    const first = tops.find(({ parent }) => !ids.has(parent))?.entry ?? tops[0]?.entry;
    // Of a process whose root is a mere folder the mount that holds it is not listed.
    const outer = parents.find((parent) => !ids.has(parent)) ?? 0;
    this.root = this.#topmost(first ?? { id: outer, point: "/", type: "unknown" }, "/");
  }

  /** The mount that `path` is on, where the folder that holds it is on `parent`. */
  enter(parent: MountEntry, path: string): MountEntry {
    return this.#topmost(parent, path);
  }

  /** The mount that a path is on by its names alone: nothing is touched, and links on the way are not followed. */
  mountOf(path: string): MountEntry {
    let at = this.root;
    for (let end = path.indexOf("/", 1); end !== -1; end = path.indexOf("/", end + 1))
      at = this.enter(at, path.slice(0, end));
    return this.enter(at, path);
  }

  #topmost(from: MountEntry, path: string): MountEntry {
    let at = from;
    for (;;) {
      const above = this.#children.get(`${at.id}:${path}`);
      if (above === undefined || above === at) return at;
      at = above;
    }
  }
}

/** The kernel writes blanks, tabs, newlines and backslashes as octal numbers. */
export function unescaped(text: string): string {
  if (!text.includes("\\")) return text;
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/**
 * File systems whose answer depends on nothing outside of the kernel and this node's own disks. All
 * others (NFS, CIFS, 9p, Ceph, FUSE, autofs, unknown ones) may hang.
 */
const LOCAL_TYPES = new Set(
  (
    "aufs bcachefs bdev bfs binfmt_misc bpf btrfs cgroup cgroup2 configfs cramfs debugfs devpts devtmpfs " +
    "efivarfs erofs exfat ext2 ext3 ext4 f2fs fusectl hfs hfsplus hugetlbfs iso9660 jfs minix mqueue msdos " +
    "nilfs2 nsfs ntfs3 overlay proc pstore ramfs reiserfs resctrl rootfs securityfs selinuxfs smackfs " +
    "squashfs sysfs tmpfs tracefs ubifs udf ufs vfat xenfs xfs zfs zonefs"
  ).split(" "),
);

/** The root counts as local whatever its type: when it hangs, everything does. */
export function mayHang(mount: MountEntry): boolean {
  return mount.point !== "/" && !LOCAL_TYPES.has(mount.type);
}

/** Peer groups of a mount; without either it is private. */
export interface Peers {
  shared?: string;
  master?: string;
}

/**
 * Peer groups of the mount that holds a path.
 *
 * @param mountinfo text of /proc/PID/mountinfo (proc(5)); its later lines lie above the earlier ones
 */
export function peersOf(mountinfo: string, path: string): Peers {
  let best = "";
  let found: Peers = {};
  for (const line of mountinfo.split("\n")) {
    const [, , , , escaped = "", , ...optional] = (line.split(" - ", 1)[0] ?? "").split(" ");
    const point = unescaped(escaped);
    const holds = point === "/" || path === point || path.startsWith(`${point}/`);
    if (point === "" || !holds || point.length < best.length) continue;
    best = point;
    const [shared, master] = ["shared:", "master:"].map((tag) =>
      optional.find((field) => field.startsWith(tag))?.slice(tag.length),
    );
    found = {
      ...(shared === undefined ? {} : { shared }),
      ...(master === undefined ? {} : { master }),
    };
  }
  return found;
}
