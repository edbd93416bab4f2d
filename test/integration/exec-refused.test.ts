import { expect } from "chai";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  hostSandboxConfig,
  removePod,
  runPod,
  startContainer,
} from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";
import { spdyUpgrade } from "../support/streaming-server.ts";
import { until } from "../support/until.ts";

describe("a streamed exec that cannot be run", () => {
  let node: TestNode;
  let pod: RunningPod;
  let containerId: string;
  const running =
    "rmdir /tmp/w; printf '#!/absent\\n' >/script; chmod 755 /script; echo x >/noexec; while :; do sleep 1; done";

  before(async () => {
    node = await startNode({ withoutNetwork: true });
    pod = await runPod(node, hostSandboxConfig(node));
    containerId = await startContainer(node, pod, containerConfig(running));
  });
  after(async () => {
    await removePod(node, pod);
    await node.close();
  });

  interface Seen {
    stdout: string;
    stderr: string;
    code: string | undefined;
  }
  const run = async (id: string, cmd: string[], tty: boolean): Promise<Seen> => {
    const request = { containerId: id, cmd, tty, stdin: tty, stdout: true, stderr: !tty };
    const { url } = await node.runtime.exec(request);
    const client = await spdyUpgrade({ address: { port: Number(new URL(url).port) } }, url);
    const error = client.open({ streamtype: "error" });
    if (tty) client.open({ streamtype: "stdin" });
    const stdout = client.open({ streamtype: "stdout" });
    const stderr = tty ? stdout : client.open({ streamtype: "stderr" });
    if (tty) client.open({ streamtype: "resize" });
    await client.untilClosed();
    client.transport.destroy();
    const status = JSON.parse(client.received(error).text) as {
      details?: { causes: { message: string }[] };
    };
    return {
      stdout: tty ? "" : client.received(stdout).text,
      stderr: client.received(stderr).text,
      code: status.details?.causes[0]?.message,
    };
  };

  for (const tty of [false, true])
    it(`ends as in a shell, with the reason on ${tty ? "the terminal" : "stderr"}`, async () => {
      await until(
        async () => (await run(containerId, ["test", "-e", "/noexec"], false)).code === undefined,
      );
      for (const [cmd, code, reason] of [
        ["/no/such/command", "127", /"\/no\/such\/command".*no such file/],
        ["no-such-command", "127", /"no-such-command".*not found/],
        ["/etc", "126", /"\/etc".*(permission denied|is a directory)/],
        ["/noexec", "126", /"\/noexec".*permission denied/],
        ["/script", "127", /\/script.*no such file/],
      ] as const) {
        const seen = await run(containerId, [cmd], tty);
        expect(seen, cmd).to.include({ stdout: "", code });
        expect(seen.stderr).to.match(reason);
      }
      expect(await run(containerId, ["sh", "-c", "exit 126"], tty)).to.deep.equal({
        ...{ stdout: "", stderr: "", code: "126" },
      });
    });

  it("tells that the working directory is gone in the same way", async () => {
    const config = { metadata: { name: "gone" }, workingDir: "/tmp/w" };
    const gone = await startContainer(node, pod, containerConfig(running, config));
    await until(async () => {
      const seen = await run(gone, ["true"], false);
      if (seen.code === undefined) return false;
      expect(seen).to.include({ stdout: "", code: "127" });
      expect(seen.stderr).to.match(/\/tmp\/w.*no such file/);
      return true;
    });
    await node.runtime.removeContainer({ containerId: gone });
  });
});
