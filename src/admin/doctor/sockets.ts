import type { NodeFacts } from "./facts.ts";
import { error, ok, skipped, warning } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { leadsTo } from "./kubelet.ts";

const writableByAll = 0o002;
const octal = (mode: number): string => `0${(mode & 0o7777).toString(8)}`;

export function checkDockerSocket({ dockerSocket }: NodeFacts): Finding {
  const check = "docker-socket";
  const { path, mode, group, denied } = dockerSocket;
  if (mode === undefined && denied) return skipped(check, `this user may not look at ${path}`);
  if (mode === undefined) return skipped(check, `${path} is not there`);
  if ((mode & writableByAll) !== 0) {
    return error(
      check,
      `${path} has mode ${octal(mode)}: everybody may write to it`,
      "whoever writes there is root of this node, and so is every pod that mounts it",
      `chmod 0660 ${path}`,
      "systemctl edit docker.socket   # SocketMode=0660",
    );
  }
  const others = group === "root" ? "" : `; members of group ${group} are root-equivalent`;
  return ok(check, `${path}, mode ${octal(mode)}${others}`);
}

export function checkDockerTcp({ daemon }: NodeFacts): Finding {
  const check = "docker-tcp";
  const open = daemon.hosts.filter((host) => host.startsWith("tcp://"));
  if (open.length === 0 || daemon.tlsVerify) {
    return ok(check, open.length === 0 ? "Docker has no TCP port" : "TCP with client certificates");
  }
  const local = open.every((host) => /^tcp:\/\/(?:127\.|localhost|\[::1\])/.test(host));
  return (local ? warning : error)(
    check,
    `Docker listens on ${open.join(", ")} without client certificates`,
    local
      ? "every process and every pod with the node's network is root there"
      : "everybody in the network is root of this node",
    `in ${daemon.path}: take it out of "hosts" (or docker.service: its -H)`,
    "systemctl restart docker",
  );
}

export function checkDocklineSocket({ docklineSocket, kubelet }: NodeFacts): Finding {
  const check = "dockline-socket";
  const { path, mode, answers, denied } = docklineSocket;
  if (denied) return skipped(check, `this user may not connect to ${path}`);
  if (mode === undefined || !answers) {
    const used = kubelet.endpoint !== undefined && leadsTo(kubelet.endpoint.value, path);
    return (used ? error : warning)(
      check,
      mode === undefined ? `Dockline does not serve ${path}` : `nobody answers at ${path}`,
      used
        ? "the kubelet has no runtime: its pods run on, but nothing is started or probed"
        : "fine before the switch to Dockline",
      "systemctl start dockline",
      "journalctl -u dockline -n 50",
    );
  }
  if ((mode & writableByAll) !== 0) {
    return error(
      check,
      `${path} has mode ${octal(mode)}: everybody may write to it`,
      "whoever writes there can start a privileged container, so is root of this node",
      `chmod 0660 ${path}`,
      "systemctl edit dockline.socket   # SocketMode=0660",
    );
  }
  return ok(check, `${path}, mode ${octal(mode)}, answers`);
}

/** What the kubelet sees, unless another check has the reason. */
export function checkServer(node: NodeFacts): Finding {
  const check = "dockline-status";
  const { server, engine, cni } = node;
  if (server === undefined) return skipped(check, "nobody to ask");
  const look = "journalctl -u dockline -n 50";
  if (server.trouble !== undefined) {
    return error(
      check,
      `Dockline takes connections but does not answer: ${server.trouble}`,
      "the kubelet calls the node NotReady after a while; pods run on",
      look,
      "systemctl restart dockline   # disturbs no pod",
    );
  }
  const unmet = new Map(
    server.conditions.filter(({ status }) => !status).map(({ type, message }) => [type, message]),
  );
  const runtime = unmet.get("RuntimeReady");
  if (runtime !== undefined && engine !== undefined) {
    const why = "the kubelet starts nothing, though Docker answers the doctor";
    return error(check, `Dockline says RuntimeReady is false: ${runtime}`, why, look);
  }
  const network = unmet.get("NetworkReady");
  if (network !== undefined && cni.files.length > 0 && cni.problem === undefined) {
    const why = "the kubelet starts no pod with a network, though the configuration looks right";
    return error(check, `Dockline says NetworkReady is false: ${network}`, why, look);
  }
  if (unmet.has("RuntimeReady") || unmet.has("NetworkReady")) {
    return skipped(check, "not ready; see the errors above");
  }
  return ok(check, "Dockline says it is ready");
}
