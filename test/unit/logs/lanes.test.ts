import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import { LogLanes } from "../../../src/logs/lanes.ts";
import { hangingMountOf } from "../../../src/sys/mount-table.ts";

const mountinfo = [
  "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw",
  "30 22 0:53 / /var/log/pods rw - nfs4 server:/logs rw",
  "31 22 0:54 / /mnt/a\\040b rw - fuse.sshfs x rw",
  "32 22 259:70000 / /data rw - xfs /dev/nvme rw",
  "33 1 0:60 / / rw - 9p root rw",
].join("\n");
/** st_dev of a device number, as glibc's makedev(3) makes it. */
const dev = (major: bigint, minor: bigint): bigint =>
  ((major & 0xfffn) << 8n) | (minor & 0xffn) | ((minor & 0xffffff00n) << 12n);

describe("lanes of container logs", () => {
  it("are made for file systems that may hang, by the device of the file", () => {
    const of = (major: bigint, minor: bigint) => hangingMountOf(mountinfo, dev(major, minor));
    expect(of(0n, 53n)).to.equal("/var/log/pods");
    expect(of(0n, 54n)).to.equal("/mnt/a b");
    expect(of(8n, 1n)).to.equal(undefined);
    expect(of(259n, 70000n)).to.equal(undefined);
    // When the root hangs everything does.
    expect(of(0n, 60n)).to.equal(undefined);
    expect(of(0n, 99n)).to.equal(undefined);
  });

  it("let one piece of work at a time to a file system, and other file systems go on", async () => {
    const lanes = new LogLanes(silentLogger, () => mountinfo);
    let answer = (): void => undefined;
    const hung = lanes.of(dev(0n, 53n))?.run(() => new Promise<void>((done) => (answer = done)));
    let began = false;
    const next = lanes.of(dev(0n, 53n))?.run(() => Promise.resolve(void (began = true)));
    await lanes.of(dev(0n, 54n))?.run(() => Promise.resolve());
    expect(began).to.equal(false);
    answer();
    await Promise.all([hung, next]);
    expect(began).to.equal(true);
    expect(lanes.of(dev(8n, 1n))).to.equal(undefined);
  });

  it("are found with one look at the mounts in two seconds", () => {
    let reads = 0;
    let nowMs = 0;
    let text = mountinfo;
    const read = (): string => {
      reads += 1;
      return text;
    };
    const lanes = new LogLanes(silentLogger, read, () => nowMs);
    for (let file = 0; file < 5; file += 1) {
      expect(lanes.of(dev(0n, 53n))).not.to.equal(undefined);
      nowMs += 399;
    }
    expect(reads).to.equal(1);
    text += "\n34 22 0:55 / /mnt/new rw - nfs4 server:/new rw";
    nowMs = 2_000;
    expect(lanes.of(dev(0n, 55n))).not.to.equal(undefined);
    expect(reads).to.equal(2);
  });
});
