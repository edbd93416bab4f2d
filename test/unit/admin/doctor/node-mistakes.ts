import type { NodeFacts } from "../../../../src/admin/doctor/facts.ts";
import { soundEngine, soundNode } from "../../../support/doctor-node.ts";
import { kubelet } from "./kubelet-mistakes.ts";
import type { Mistake } from "./kubelet-mistakes.ts";

const sound = soundNode();
const owed = (changes: object): Partial<NodeFacts> => ({
  owed: { pods: [], records: [], limits: [], ...changes },
});
const mounts = (changes: object): Partial<NodeFacts> => ({
  dockerMounts: { pid: 7, propagation: "slave", snap: false, ...changes },
});
const nri = (changes: object): Partial<NodeFacts> => ({
  nri: { path: sound.nri.path, docker: false, enabled: true, ...changes },
});
const ids = ["ab", "cd"].map((pair) => pair.repeat(32));

/** What is wrong between Dockline, Docker's surroundings and other runtimes. */
export const nodeMistakes: Mistake[] = [
  [
    "no dockline-oci",
    { editing: [] },
    "dockline-oci",
    "warning",
    /not registered/,
    /memory\.oom\.group/,
    /install-runtime/,
  ],
  [
    "no dockline-oci any more, for containers that need it",
    { editing: [], edited: ids },
    "dockline-oci",
    "error",
    /2 containers need it: abababababab, cdcdcdcdcdcd/,
    /start them again/,
  ],
  [
    "addresses that were given up",
    {
      givenUp: [
        {
          ...{ at: "2026-01-01T00:00:00.000Z", containerId: "c", pod: "shop/web", network: "net" },
          ...{
            plugin: "flannel",
            addresses: ["10.1.2.3"],
            reason: "no such program",
            path: "/n.json",
          },
        },
      ],
    },
    "given-up-addresses",
    "warning",
    /shop\/web \(10\.1\.2\.3, network net\)/,
    /rm \/n\.json/,
  ],
  [
    "pods whose CNI DEL fails",
    owed({
      pods: [
        {
          ...{ pod: "shop/web", network: "net", addresses: ["10.1.2.3"] },
          failure: "plugin portmap failed: iptables: no such chain",
        },
        { pod: "shop/db", network: "net", addresses: [], failure: "x" },
      ],
    }),
    "owed",
    "warning",
    /2 pods: shop\/web \(10\.1\.2\.3, network net\); shop\/db \(no address known/,
    /no such chain/,
    /dockline release shop\/web/,
  ],
  [
    "records that are damaged or newer",
    owed({
      records: [
        { path: "/s/1.json.corrupt", trouble: "damaged, put aside" },
        { path: "/s/2.json", trouble: "of a newer version" },
      ],
    }),
    "owed",
    "warning",
    /2 pod records .*1\.json\.corrupt \(damaged, put aside\); .*2\.json \(of a newer version\)/,
    /rm \/s\/1\.json\.corrupt/,
  ],
  [
    "limits that nobody writes",
    owed({ limits: ids }),
    "owed",
    "warning",
    /without all limits: 2 containers \(abababababab, cdcdcdcdcdcd\)/,
    /restart dockline/,
  ],
  [
    "limits that wait for Dockline",
    { ...owed({ limits: ids.slice(0, 1) }), server: undefined },
    "owed",
    "warning",
    /1 container \(/,
    /when it starts/,
    /systemctl start dockline/,
  ],
  [
    "Docker with mounts that do not reach the node",
    mounts({}),
    "docker-mounts",
    "warning",
    /pid 7/,
    /Bidirectional/,
    /systemctl show docker -p PrivateMounts/,
  ],
  [
    "Docker whom the node's mounts do not reach",
    mounts({ propagation: "private" }),
    "docker-mounts",
    "error",
    /empty folders/,
  ],
  ["Docker as a snap", mounts({ snap: true }), "docker-mounts", "warning", /docker\.io/],
  [
    "containerd on the NRI socket",
    nri({ listener: "containerd (pid 812)" }),
    "nri-socket",
    "warning",
    /containerd \(pid 812\) listens on \/var\/run\/nri\/nri\.sock/,
    /io\.containerd\.nri\.v1\.nri/,
  ],
  [
    "somebody else on the NRI socket",
    nri({ listener: "crio (pid 9)" }),
    "nri-socket",
    "warning",
    /crio/,
  ],
  ["Docker's own NRI", nri({ docker: true }), "nri-socket", "warning", /"nri-opts"/],
  [
    "a CNI configuration that another account may change",
    { cni: { ...sound.cni, configWarnings: ["/etc/cni/net.d belongs to user 997"] } },
    "cni-config",
    "warning",
    /user 997/,
    /can become root/,
    /chown root:root \/etc\/cni\/net\.d && chmod go-w \/etc\/cni\/net\.d/,
  ],
  [
    "images that no registry has, under a kubelet whose evictions remove images",
    {
      engine: { ...soundEngine(), localImages: ["own/a:1"] },
      ...kubelet({ minor: 37 }),
    },
    "local-images",
    "warning",
  ],
  [
    "an endpoint that nobody has, which is not Docker's own",
    {
      ...{ engine: undefined, engineTrouble: "connect ENOENT /srv/docker.sok", runc: undefined },
      config: { ...sound.config, dockerEndpoint: "unix:///srv/docker.sok" },
      dockerSocket: { path: "/srv/docker.sok", mode: undefined, group: "", answers: false },
    },
    "engine",
    "error",
    /in \/etc\/dockline\/config\.yaml: dockerEndpoint: unix:\/\/\/var\/run\/docker\.sock/,
  ],
  [
    "a Docker that is down",
    {
      ...{ engine: undefined, engineTrouble: "connect ENOENT", runc: undefined },
      dockerSocket: { ...sound.dockerSocket, mode: undefined },
    },
    "engine",
    "error",
    /systemctl start docker/,
  ],
];
