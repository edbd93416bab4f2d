import { expect } from "chai";
import { mayHang, MountTable } from "../../../src/sys/mount-table.ts";

const mountinfo = [
  "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw",
  "30 22 0:53 / /var/log/pods rw - nfs4 server:/logs rw",
  "31 22 0:54 / /mnt/a\\040b rw - fuse.sshfs x rw",
  "32 22 259:70000 / /data rw - xfs /dev/nvme rw",
  "33 32 0:60 / /data/far rw - 9p data rw",
].join("\n");

describe("the mount of a path", () => {
  it("is the one that its names lead to", () => {
    const table = new MountTable(mountinfo);
    const of = (path: string): string => table.mountOf(path).point;
    expect(of("/")).to.equal("/");
    expect(of("/var/log/pods")).to.equal("/var/log/pods");
    expect(of("/var/log/pods/a/b.log")).to.equal("/var/log/pods");
    expect(of("/var/log/podsx/b.log")).to.equal("/");
    expect(of("/mnt/a b/c")).to.equal("/mnt/a b");
    expect(of("/data/far/x")).to.equal("/data/far");
    expect(of("/data/x")).to.equal("/data");
  });

  it("may hang where its file system has a server, and is not the root", () => {
    const table = new MountTable(mountinfo);
    const hangs = ["/", "/var/log/pods", "/mnt/a b/c", "/data/x", "/data/far/x"].filter((path) =>
      mayHang(table.mountOf(path)),
    );
    expect(hangs).to.deep.equal(["/var/log/pods", "/mnt/a b/c", "/data/far/x"]);
  });
});
