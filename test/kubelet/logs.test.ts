import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect } from "chai";
import { startKubeletNode } from "./kubelet-node.ts";
import type { KubeletNode } from "./kubelet-node.ts";
import { idle, sh, staticPod, within } from "./rig.ts";

const lines = 35_000;
/** With the number, 100 bytes a line in the container, 140 in the CRI's form: 5 MB, some five files. */
const padding = "x".repeat(90);

/** The sequence numbers of a text, in its order. */
function numbers(text: string): number[] {
  return [...text.matchAll(/(\d+) x{90}$/gm)].map(([, number]) => Number(number));
}

describe("a kubelet's log rotation", function () {
  this.timeout(150_000);
  let rig: KubeletNode;

  before(async function () {
    this.timeout(600_000);
    rig = await startKubeletNode({
      port: 10_370,
      settings: [
        "containerLogMaxSize:1Mi",
        "containerLogMaxFiles:20",
        "containerLogMonitorInterval:3s",
      ],
    });
    const burst = `seq $((n * 1000 + 1)) $((n * 1000 + 1000)) | sed 's/$/ ${padding}/'; sleep 0.5`;
    const talk = `n=0; while [ $n -lt ${lines / 1000} ]; do ${burst}; n=$((n + 1)); done`;
    rig.kubelet.addPod(
      "talker",
      staticPod("talker", { containers: [sh("main", `sleep 3; ${talk}; echo over; ${idle}`)] }),
    );
  });
  after(async function () {
    this.timeout(60_000);
    await rig.close();
  });

  it("loses no line and doubles none, over all files and in a follower's answer", async () => {
    const { kubelet } = rig;
    const pod = await kubelet.ready("talker");
    const { name, namespace, uid } = pod.metadata;
    const folder = join(kubelet.podLogs, `${namespace}_${name}_${uid}`, "main");

    // Tens of thousands of chunks: a string that grows with each would be copied as often.
    const chunks: string[] = [];
    const following = (async () => {
      for await (const chunk of kubelet.followLogs("talker", "main")) {
        chunks.push(chunk.toString("latin1"));
        if (chunks.slice(-5).join("").endsWith("over\n")) return;
      }
    })();
    await within(100_000, "the last line", () => {
      // Between the kubelet's rename and the answer of ReopenContainerLog there is none.
      const path = join(folder, "0.log");
      const newest = existsSync(path) ? readFileSync(path, "utf8") : "";
      return newest.includes(" over\n") ? true : undefined;
    });
    // The newest rotated file is compressed one rotation later; ".tmp" is one in the making.
    const files = readdirSync(folder).filter((file) => !file.endsWith(".tmp"));
    expect(files.length, files.join(" ")).to.be.at.least(4);
    const rotated = files.filter((file) => file !== "0.log").sort();
    const written = [...rotated, "0.log"]
      .map((file) => {
        const bytes = readFileSync(join(folder, file));
        return (file.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("latin1");
      })
      .join("");
    const expected = Array.from({ length: lines }, (_, index) => index + 1);
    expect(differences(numbers(written), expected), "files").to.deep.equal([]);
    expect(rotated.some((file) => file.endsWith(".gz"))).to.equal(true);
    // Between two looks of the kubelet's some seconds' output is written beyond the limit.
    expect(statSync(join(folder, "0.log")).size).to.be.below(3 << 20);

    await following;
    expect(differences(numbers(chunks.join("")), expected), "follower").to.deep.equal([]);
    expect(await kubelet.logs("talker", "main", "?tailLines=1")).to.equal("over\n");
  });
});

/** The first places where two sequences part: a whole diff of 50,000 numbers helps nobody. */
function differences(found: number[], wanted: number[]): string[] {
  const length = Math.max(found.length, wanted.length);
  const places: string[] = [];
  for (let at = 0; at < length && places.length < 5; at += 1) {
    if (found[at] !== wanted[at]) places.push(`at ${at}: ${found[at]} instead of ${wanted[at]}`);
  }
  return places;
}
