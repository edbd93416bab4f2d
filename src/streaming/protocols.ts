/** Sub-protocols of remote commands, each with what a server has to do differently for it. */
export interface CommandProtocol {
  name: string;
  statusForm: "json" | "text";
  /** SPDY only: whether the client opens a resize stream for a tty. WebSocket always has one. */
  resizes: boolean;
  /** WebSocket only: messages are base64 text, and the channel is a digit. */
  base64: boolean;
  /** WebSocket only: [255, channel] half-closes a channel. */
  closeSignal: boolean;
}

function protocol(name: string, features: Partial<CommandProtocol> = {}): CommandProtocol {
  return {
    name,
    statusForm: "text",
    resizes: true,
    base64: false,
    closeSignal: false,
    ...features,
  };
}

const v1 = protocol("channel.k8s.io", { resizes: false });
const v2 = protocol("v2.channel.k8s.io", { resizes: false });
const v3 = protocol("v3.channel.k8s.io");
const v4 = protocol("v4.channel.k8s.io", { statusForm: "json" });
const v5 = protocol("v5.channel.k8s.io", { statusForm: "json", closeSignal: true });

/** Half-closing is part of SPDY itself, so v5 has nothing to add there. */
export const spdyCommandProtocols: readonly CommandProtocol[] = [v4, v3, v2, v1];

/** The ones of Kubernetes' own server, which has no v2 and v3 here. */
export const webSocketCommandProtocols: readonly CommandProtocol[] = [
  v5,
  v4,
  v1,
  protocol("v4.base64.channel.k8s.io", { statusForm: "json", base64: true }),
  protocol("base64.channel.k8s.io", { base64: true }),
];

export const portForwardProtocol = "portforward.k8s.io";
/** SPDY inside WebSocket messages: what kubectl falls forward to since 1.30. */
export const tunnelProtocol = `SPDY/3.1+${portForwardProtocol}`;

/** Port-forward over plain WebSocket channels; true where messages are base64. */
export const webSocketPortForwardProtocols: ReadonlyMap<string, { base64: boolean }> = new Map([
  ["v4.channel.k8s.io", { base64: false }],
  ["v4.base64.channel.k8s.io", { base64: true }],
  [portForwardProtocol, { base64: false }],
]);

/** The client's first choice among what we speak, as every Kubernetes server picks it. */
export function negotiate<T extends { name: string }>(
  offered: readonly string[],
  spoken: readonly T[],
): T | undefined {
  for (const name of offered) {
    const found = spoken.find((candidate) => candidate.name === name);
    if (found !== undefined) return found;
  }
  return undefined;
}
