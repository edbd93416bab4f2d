import type { Option } from "./option.ts";

/** Options of NRI, by CRI-O's names. */
export const nriOptions = {
  enableNri: {
    type: "boolean",
    default: "true",
    help: "let NRI plugins see and adjust pods and containers",
    group: "nri",
  },
  nriListen: {
    type: "string",
    default: "/var/run/nri/nri.sock",
    help: "socket that plugins connect to; its folder is made if missing and never removed",
    group: "nri",
  },
  nriDisableConnections: {
    type: "boolean",
    default: "false",
    help: "no socket: only pre-installed plugins",
    group: "nri",
  },
  nriPluginDir: {
    type: "string",
    default: "/opt/nri/plugins",
    help: "directory of pre-installed plugins, NN-name, which are started with Dockline",
    group: "nri",
  },
  nriPluginConfigDir: {
    type: "string",
    default: "/etc/nri/conf.d",
    help: "directory of their configuration: NN-name.conf or name.conf",
    group: "nri",
  },
  nriPluginRegistrationTimeout: {
    type: "duration",
    default: "5s",
    help: "how long a plugin may take to register, and to be informed of what exists",
    group: "nri",
  },
  nriPluginRequestTimeout: {
    type: "duration",
    default: "2s",
    help: "how long a plugin may take with one event",
    group: "nri",
  },
  nriEnableDefaultValidator: {
    type: "boolean",
    default: "false",
    help: "check the adjustments of all plugins by the options below",
    group: "nri",
  },
  nriValidatorRejectOciHookAdjustment: {
    type: "boolean",
    default: "false",
    help: "validator: reject any OCI hook",
    group: "nri",
  },
  nriValidatorRejectRuntimeDefaultSeccompAdjustment: {
    type: "boolean",
    default: "false",
    help: "validator: reject another seccomp policy for a container with the default profile",
    group: "nri",
  },
  nriValidatorRejectUnconfinedSeccompAdjustment: {
    type: "boolean",
    default: "false",
    help: "validator: reject another seccomp policy for an unconfined container",
    group: "nri",
  },
  nriValidatorRejectCustomSeccompAdjustment: {
    type: "boolean",
    default: "false",
    help: "validator: reject another seccomp policy for a container with a profile of its own",
    group: "nri",
  },
  nriValidatorRejectNamespaceAdjustment: {
    type: "boolean",
    default: "false",
    help: "validator: reject other namespaces",
    group: "nri",
  },
  nriValidatorRejectSysctlAdjustment: {
    type: "boolean",
    default: "false",
    help: "validator: reject other sysctls",
    group: "nri",
  },
  nriValidatorRequiredPlugins: {
    type: "list",
    default: "",
    example: "10-balloons",
    help: "validator: plugins without which no container is created: name or NN-name",
    group: "nri",
  },
  nriValidatorTolerateMissingPluginsAnnotation: {
    type: "string",
    default: "",
    example: "example.org/tolerate",
    help: "validator: annotation of pods that may do without them",
    group: "nri",
  },
} as const satisfies Record<string, Option>;
