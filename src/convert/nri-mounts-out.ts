import type { HostConfig } from "../engine/types.ts";
import type { EngineFacts } from "./engine-facts.ts";

interface SpecMount {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

const fixed: readonly SpecMount[] = [
  mount("/proc", "proc", "proc", "nosuid noexec nodev"),
  mount("/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k"),
  mount("/dev/pts", "devpts", "devpts", "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5"),
  mount("/sys", "sysfs", "sysfs", "nosuid noexec nodev ro"),
  mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro nosuid noexec nodev"),
  mount("/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev"),
];

/** Files that Docker binds into a container, as long as the request does not bring its own. */
const ownFiles = ["resolv.conf", "hostname", "hosts"];

/** The mounts of a container's OCI spec, as Docker will make them: its own, then those asked for, parents first. */
export function containerMounts(
  host: Partial<HostConfig>,
  { dockerRootDir }: Pick<EngineFacts, "dockerRootDir">,
  podSandboxId: string,
): SpecMount[] {
  const asked = (host.Mounts ?? []).map((one): SpecMount => {
    const propagation = one.BindOptions?.Propagation ?? "rprivate";
    const recursion = one.BindOptions?.NonRecursive === true ? "bind" : "rbind";
    const options = [recursion, ...(one.ReadOnly === true ? ["ro"] : []), propagation];
    return { destination: one.Target, type: "bind", source: one.Source ?? "", options };
  });
  const folder = `${dockerRootDir}/containers/${podSandboxId}`;
  const shm = bind("/dev/shm", `${folder}/mounts/shm`);
  const files = ownFiles.map((file) => bind(`/etc/${file}`, `${folder}/${file}`));
  const own = [...fixed, shm, ...files].filter(
    ({ destination }) => !asked.some((one) => one.destination === destination),
  );
  const depth = ({ destination }: SpecMount): number =>
    destination.split("/").filter((part) => part !== "").length;
  return [...own, ...asked.sort((a, b) => depth(a) - depth(b))];
}

function mount(destination: string, type: string, source: string, options: string): SpecMount {
  return { destination, type, source, options: options.split(" ") };
}

const bind = (destination: string, source: string): SpecMount =>
  mount(destination, "bind", source, "rbind rprivate");
