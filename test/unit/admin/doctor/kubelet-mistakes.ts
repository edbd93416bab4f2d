import type { NodeFacts } from "../../../../src/admin/doctor/facts.ts";
import type { Level } from "../../../../src/admin/doctor/finding.ts";
import { soundNode } from "../../../support/doctor-node.ts";

const sound = soundNode();

export const kubelet = (changes: object): Partial<NodeFacts> => ({
  kubelet: { ...sound.kubelet, ...changes },
});
export const endpoint = (value: string): object => ({
  endpoint: { value, from: "/k/config.yaml" },
});

/** One mistake each: what is planted, the check that must find it, and words of what it must say. */
export type Mistake = [string, Partial<NodeFacts>, string, Level, ...RegExp[]];

const containerdFlag = { flag: "--containerd", from: "/etc/default/kubelet", since: 37 };

export const kubeletMistakes: Mistake[] = [
  [
    "cri-dockerd as the kubelet's runtime",
    kubelet(endpoint("unix:///var/run/cri-dockerd.sock")),
    "kubelet-endpoint",
    "error",
    /migrate --from cri-dockerd/,
    /in \/k\/config\.yaml: containerRuntimeEndpoint: unix:\/\/\/run\/dockline/,
  ],
  ["no runtime for the kubelet", kubelet({ endpoint: undefined }), "kubelet-endpoint", "error"],
  [
    "dockershim's flags",
    kubelet({ removedFlags: [{ flag: "--network-plugin", from: "/k/flags.env" }] }),
    "kubelet-flags",
    "error",
    /--network-plugin/,
    /^dockline migrate --from dockershim --kubelet-flags \/k\/flags\.env$/m,
  ],
  [
    "dockershim's flags in a unit",
    kubelet({
      removedFlags: [
        { flag: "--network-plugin", from: "/etc/systemd/system/kubelet.service.d/20-docker.conf" },
      ],
    }),
    "kubelet-flags",
    "error",
    /^dockline migrate --from dockershim$/m,
  ],
  [
    "a flag of cAdvisor's for a kubelet that has lost it",
    kubelet({ lostFlags: [containerdFlag], minor: 37 }),
    "kubelet-flags",
    "error",
    /default\/kubelet has --containerd/,
    /this one is 1\.37/,
    /featureGates: \{PodAndContainerStatsFromCRI: true\}/,
  ],
  [
    "the same flag where nobody knows the version",
    kubelet({ lostFlags: [containerdFlag] }),
    "kubelet-flags",
    "warning",
    /from 1\.37 on/,
    /PodAndContainerStatsFromCRI: true\} # from 1\.36 on/,
    /--containerd=\/run\/dockline\/containerd\.sock # before 1\.36/,
  ],
  [
    "the pause image's flag for a kubelet that has lost it",
    kubelet({
      lostFlags: [{ flag: "--pod-infra-container-image", from: "/k/flags.env", since: 35 }],
      minor: 35,
    }),
    "kubelet-flags",
    "error",
    /take --pod-infra-container-image out/,
  ],
  [
    "another runtime for kubeadm's next upgrade",
    kubelet({
      nextEndpoint: { value: "unix:///var/run/cri-dockerd.sock", from: "/k/instance-config.yaml" },
    }),
    "kubeadm-endpoint",
    "warning",
    /next upgrade points the kubelet at unix:\/\/\/var\/run\/cri-dockerd/,
    /in \/k\/instance-config\.yaml: containerRuntimeEndpoint: "unix:\/\/\/run\/dockline/,
  ],
  [
    "nothing for kubeadm's next upgrade to know the runtime from",
    kubelet({ missingNext: "/var/lib/kubelet/instance-config.yaml", minor: 37 }),
    "kubeadm-endpoint",
    "warning",
    /guesses/,
    /in \/var\/lib\/kubelet\/instance-config\.yaml: containerRuntimeEndpoint: "unix:\/\/\/run\/dockline/,
  ],
  [
    "a kubelet without series of containers",
    kubelet({ series: "none", minor: 37 }),
    "kubelet-series",
    "warning",
    /in \/var\/lib\/kubelet\/config\.yaml: featureGates/,
  ],
  [
    "a kubelet without series of containers, whose gate would empty kubectl top",
    kubelet({ series: "none", minor: 35 }),
    "kubelet-series",
    "warning",
    /^in \/etc\/default\/kubelet: --containerd=\/run\/dockline\/containerd\.sock$/m,
    /^(?:(?!featureGates: \{)[^])*$/,
  ],
  [
    "the same with the socket of the façade turned off",
    {
      ...kubelet({ series: "none", minor: 35, sources: ["/etc/sysconfig/kubelet", "/k/c.yaml"] }),
      config: { ...sound.config, facadeEndpoint: "" },
    },
    "kubelet-series",
    "warning",
    /^in \/etc\/dockline\/config\.yaml: facadeEndpoint: auto$/m,
    /^in \/etc\/sysconfig\/kubelet: .*--containerd=\/run\/dockline\/containerd\.sock$/m,
  ],
  [
    "the gate for a kubelet that leaves out containers with it",
    kubelet({ series: "cri", minor: 35 }),
    "kubelet-series",
    "warning",
    /metrics\/resource/,
    /take PodAndContainerStatsFromCRI out/,
    /--containerd=\/run\/dockline\/containerd\.sock/,
  ],
  [
    "no runtime in the flags, which are all that is known",
    kubelet({
      ...{ endpoint: undefined, config: undefined },
      sources: ["/var/lib/kubelet/kubeadm-flags.env"],
    }),
    "kubelet-endpoint",
    "warning",
    /in \/var\/lib\/kubelet\/kubeadm-flags\.env: --container-runtime-endpoint=unix/,
  ],
  [
    "no runtime in the flags of a package's kubelet that kubeadm has not configured yet",
    kubelet({ endpoint: undefined, config: undefined, sources: ["/etc/sysconfig/kubelet"] }),
    "kubelet-endpoint",
    "warning",
    /in \/etc\/sysconfig\/kubelet: --container-runtime-endpoint=unix/,
  ],
  [
    "no runtime for a running kubelet without a configuration",
    kubelet({
      ...{ endpoint: undefined, config: undefined, noConfig: true },
      sources: ["the running kubelet, pid 7"],
    }),
    "kubelet-endpoint",
    "error",
    /in what starts that kubelet: --container-runtime-endpoint=unix/,
  ],
  [
    "another runtime in a flag of the running kubelet, in the file that has it",
    kubelet({
      endpoint: {
        value: "unix:///var/run/cri-dockerd.sock",
        from: "the running kubelet, pid 7",
        flagOf: "/etc/default/kubelet",
      },
    }),
    "kubelet-endpoint",
    "error",
    /in \/etc\/default\/kubelet: --container-runtime-endpoint=unix:\/\/\/run\/dockline/,
  ],
  [
    "a cgroup driver in a flag of the running kubelet, which no file has",
    kubelet({
      cgroupDriver: {
        value: "cgroupfs",
        from: "the running kubelet, pid 7",
        flagOf: "what starts that kubelet",
      },
      minor: 31,
    }),
    "cgroup-driver",
    "warning",
    /in what starts that kubelet: --cgroup-driver=systemd/,
  ],
  ["a file that cannot be read", kubelet({ troubles: ["x: bad"] }), "kubelet-flags", "warning"],
  [
    "nothing but a file that cannot be read",
    kubelet({ troubles: ["x: bad"], endpoint: undefined }),
    "kubelet-flags",
    "warning",
    /x: bad/,
  ],
];
