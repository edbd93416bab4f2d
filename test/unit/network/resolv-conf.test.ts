import { expect } from "chai";
import fc from "fast-check";
import { execFileSync } from "node:child_process";
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CriError } from "../../../src/errors.ts";
import {
  podResolvConf,
  renderResolvConf,
  rewriteResolvConf,
} from "../../../src/network/resolv-conf.ts";

const none = { servers: [], searches: [], options: [] };

describe("resolv.conf", () => {
  it("has servers, search domains and options", () => {
    const dns = {
      servers: ["10.96.0.10", "fd00::a"],
      searches: ["ns.svc.cluster.local", "."],
      options: ["ndots:5", "edns0"],
    };
    expect(renderResolvConf(dns)).to.equal(
      "nameserver 10.96.0.10\nnameserver fd00::a\nsearch ns.svc.cluster.local .\noptions ndots:5 edns0\n",
    );
    expect(renderResolvConf(none)).to.equal("");
  });

  it("is the host's file as it is without a DNS config, and empty where one says nothing", async () => {
    const folder = mkdtempSync(join(tmpdir(), "dockline-resolv-"));
    try {
      const path = join(folder, "resolv.conf");
      expect(String(await podResolvConf(undefined, path))).to.equal("");
      for (const text of ["", "nameserver 127.0.0.53\noptions edns0", "# only words\n"]) {
        writeFileSync(path, text);
        expect(String(await podResolvConf(undefined, path))).to.equal(text);
        expect(await podResolvConf(none, path)).to.equal("");
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("keeps every string one word of its own line, or refuses it", () => {
    const strings = fc.array(fc.string({ unit: "binary", maxLength: 30 }), { maxLength: 4 });
    fc.assert(
      fc.property(strings, strings, strings, (servers, searches, options) => {
        let text: string;
        try {
          text = renderResolvConf({ servers, searches, options });
        } catch (error) {
          expect(error).to.be.instanceOf(CriError).and.include({ kind: "InvalidArgument" });
          return;
        }
        const lines = text
          .split("\n")
          .slice(0, -1)
          .map((line) => line.split(" "));
        const of = (key: string): string[] =>
          lines.filter(([first]) => first === key).flatMap((line) => line.slice(1));
        expect(of("nameserver")).to.deep.equal(servers.filter(Boolean));
        expect(of("search")).to.deep.equal(searches.filter(Boolean));
        const words = options.flatMap((option) => option.split(/\s+/).filter(Boolean));
        expect(of("options")).to.deep.equal(words);
        const optional = [searches.filter(Boolean), words].filter(({ length }) => length > 0);
        expect(lines).to.have.length(servers.filter(Boolean).length + optional.length);
      }),
    );
  });

  it("takes options of several words, and keeps them on one line", () => {
    const rendered = (options: string[]): string => renderResolvConf({ ...none, options });
    expect(rendered(["ndots:5 debug", " edns0 ", "timeout:\t2\nnameserver 6.6.6.6\n"])).to.equal(
      "options ndots:5 debug edns0 timeout: 2 nameserver 6.6.6.6\n",
    );
    expect(rendered(["", " "])).to.equal("");
  });

  it("refuses line breaks and blanks, and names the entry", () => {
    for (const bad of ["a\nnameserver 6.6.6.6", "a\u0000", "a b", "a\u2028b"]) {
      expect(() => renderResolvConf({ ...none, searches: ["x", bad] }), JSON.stringify(bad))
        .to.throw(CriError, "dns_config.searches[1]: ")
        .and.include({ kind: "InvalidArgument" });
    }
  });

  it("leaves out empty entries, and takes as many and as long ones as are sent", () => {
    const searches = Array.from({ length: 100 }, (_, n) => `${"x".repeat(300)}${n}.example`);
    expect(renderResolvConf({ servers: ["", "192.0.2.53", ""], searches, options: [""] })).to.equal(
      `nameserver 192.0.2.53\nsearch ${searches.join(" ")}\n`,
    );
    const servers = Array<string>(65).fill("192.0.2.53");
    expect(renderResolvConf({ ...none, servers }).split("\n")).to.have.length(66);
  });

  describe("in Docker's folder", () => {
    let folder: string;
    let root: string;
    let path: string;

    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), "dockline-resolv-"));
      root = join(folder, "docker");
      mkdirSync(join(root, "containers", "abc"), { recursive: true });
      path = join(root, "containers", "abc", "resolv.conf");
      writeFileSync(path, "nameserver 192.0.2.1\n# longer than what comes after it\n");
    });
    afterEach(() => rmSync(folder, { recursive: true }));

    const refused = async (target: string, words: string): Promise<void> => {
      const error = await rewriteResolvConf(target, "nameserver 1.2.3.4\n", root).then(
        () => undefined,
        (cause: unknown) => cause as Error,
      );
      expect(error?.message).to.include(words);
    };

    it("is rewritten in place, since containers have that very file", async () => {
      const { ino } = statSync(path);
      await rewriteResolvConf(path, "nameserver 1.2.3.4\n", root);
      expect(readFileSync(path, "utf8")).to.equal("nameserver 1.2.3.4\n");
      expect(statSync(path).ino).to.equal(ino);
      symlinkSync(root, join(folder, "link"));
      await rewriteResolvConf(path, "nameserver 5.6.7.8\n", join(folder, "link"));
      expect(readFileSync(path, "utf8")).to.equal("nameserver 5.6.7.8\n");
    });

    it("is left alone when the path leads elsewhere", async () => {
      const outside = join(folder, "docker-other");
      mkdirSync(outside);
      writeFileSync(join(outside, "resolv.conf"), "untouched");
      symlinkSync(join(outside, "resolv.conf"), join(root, "linked"));
      symlinkSync(outside, join(root, "containers", "out"));
      await refused(join(outside, "resolv.conf"), "does not lie below");
      await refused(join(root, "..", "docker-other", "resolv.conf"), "does not lie below");
      await refused(join(root, "containers", "out", "resolv.conf"), "does not lie below");
      await refused(join(root, "linked"), "not a plain file");
      await refused("resolv.conf", "not absolute");
      linkSync(join(outside, "resolv.conf"), join(root, "hard"));
      await refused(join(root, "hard"), "not a plain file");
      expect(readFileSync(join(outside, "resolv.conf"), "utf8")).to.equal("untouched");
    });

    it("must be a plain file that is there", async () => {
      execFileSync("mkfifo", [join(root, "fifo")]);
      await refused(join(root, "fifo"), "not a plain file");
      await refused(join(root, "containers"), "EISDIR");
      await refused(join(root, "absent"), "ENOENT");
    });
  });
});
