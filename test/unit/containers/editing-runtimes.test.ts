import { writeFileSync } from "node:fs";
import { expect } from "chai";
import type { EngineSelf } from "../../../src/engine/info-cache.ts";
import { silentLogger } from "../../../src/log.ts";
import { EditingRuntimes } from "../../../src/containers/editing-runtimes.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { until } from "../../support/until.ts";

describe("dockline-oci, as the first answers after a start tell of it", () => {
  const temp = tempFolder();
  after(() => temp.remove());

  /** An engine with a dockline-oci that does this when it is asked. */
  const rig = (name: string, body: string) => {
    const path = temp.path(name);
    writeFileSync(path, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    const runtimes = { dockline: { path, runtimeArgs: [`--edits=${temp.path("edits")}`] } };
    const info = { Driver: "overlay2", DockerRootDir: "/", Runtimes: runtimes };
    const pauses: { ms: number; end: () => void }[] = [];
    const clock = { aheadMs: 0 };
    const editing = new EditingRuntimes({
      folder: { path: temp.path("edits") },
      layers: () => "/",
      clock: {
        monotonicMs: () => systemClock.monotonicMs() + clock.aheadMs,
        sleep: (ms) => new Promise((resolve) => pauses.push({ ms, end: resolve })),
      },
      log: silentLogger,
    });
    return { editing, pauses, clock, self: { info } as unknown as EngineSelf };
  };
  const answers = `echo '{"edits":1,"userNamespaces":true}'`;

  it("is there when the first answer is", async () => {
    const { editing, self } = rig("slow", `sleep 0.2; ${answers}`);
    expect(editing.peek(self).runtimes).to.deep.equal([]);
    await editing.first(self);
    expect(editing.peek(self).runtimes.map(({ name }) => name)).to.deep.equal(["dockline"]);
  });

  it("is waited for once, and not again on another look at the engine", async () => {
    const { editing, self, pauses } = rig("quick", answers);
    await editing.first(self);
    await editing.first(self);
    await editing.first({ ...self });
    expect(pauses).to.have.length(1);
  });

  it("is found out of an engine that was reloaded, whoever looks at it first", async () => {
    const { editing, self, pauses } = rig("reload", answers);
    await editing.first({ ...self, info: { ...self.info, Runtimes: {} } });
    expect(editing.peek(self).runtimes).to.deep.equal([]);
    await editing.first(self);
    await until(() => editing.peek(self).runtimes.length === 1);
    expect(pauses).to.have.length(1);
  });

  it("is tried again a minute after it failed, and no call waits for that", async () => {
    const { editing, self, clock } = rig("late", `test -e "$0.fixed" && sleep 0.3 && ${answers}`);
    expect((await editing.of(self)).runtimes).to.deep.equal([]);
    writeFileSync(temp.path("late.fixed"), "");
    clock.aheadMs = 61_000;
    expect((await editing.of(self)).runtimes).to.deep.equal([]);
    const deadline = performance.now() + 20_000;
    while ((await editing.of(self)).runtimes.length === 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect((await editing.of(self)).runtimes).to.have.length(1);
  });

  it("edits lists where it says so, and tells what the real runtime knows", async () => {
    const old = rig("old", answers);
    expect((await old.editing.of(old.self)).runtimes[0]).to.include({ lists: false });
    const operations = '"operations":["listPut","listDrop","envDrop","sortMounts","requires"]';
    const said = `{"edits":1,${operations},"features":{"ociVersionMax":"1.2.0"}}`;
    const now = rig("new", `echo '${said}'`);
    expect((await now.editing.of(now.self)).runtimes[0]).to.deep.include({
      lists: true,
      features: { ociVersionMax: "1.2.0" },
    });
    const silent = rig("silent", `echo '{"edits":1,"features":null}'`);
    expect((await silent.editing.of(silent.self)).runtimes[0]).to.not.have.property("features");
  });

  it("holds no answer up for longer than 2 s", async () => {
    const { editing, self, pauses } = rig("hung", "exec sleep 3");
    const waited = editing.first(self);
    expect(pauses.map(({ ms }) => ms)).to.deep.equal([2000]);
    pauses[0]?.end();
    await waited;
    expect(editing.peek(self).runtimes).to.deep.equal([]);
  });
});
