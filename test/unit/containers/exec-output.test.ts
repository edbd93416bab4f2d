import { expect } from "chai";
import { CappedOutput } from "../../../src/containers/exec-output.ts";

describe("the output of ExecSync", () => {
  it("is what was written, however it was cut, up to the limit of both streams together", () => {
    const sizes = [1, 1, 16_383, 16_384, 16_385, 3, 40_000, 1];
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const output = new CappedOutput(2 * total - 5);
    const sent = { stdout: Buffer.alloc(total), stderr: Buffer.alloc(total) };
    let at = 0;
    for (const size of sizes) {
      const shared = Buffer.alloc(size);
      for (const stream of ["stdout", "stderr"] as const) {
        shared.fill(at % 251).copy(sent[stream], at);
        output.push(stream, shared);
      }
      // The caller's buffer is used again.
      shared.fill(255);
      at += size;
    }
    output.push("stdout", Buffer.from("more"));
    const { stdout, stderr } = output.all();
    expect(
      sent.stdout.equals(Buffer.concat([stdout, sent.stdout.subarray(stdout.length)])),
    ).to.equal(true);
    expect(sent.stderr.subarray(0, stderr.length).equals(stderr)).to.equal(true);
    expect(stdout.length + stderr.length).to.equal(2 * total - 5);
  });

  it("of single bytes costs about what it is", () => {
    const output = new CappedOutput(4 << 20);
    const byte = Buffer.from("x");
    const before = process.memoryUsage();
    for (let at = 0; at < 1 << 20; at += 1) output.push("stdout", byte);
    const after = process.memoryUsage();
    const grown = after.heapUsed + after.external - before.heapUsed - before.external;
    expect(output.all().stdout.length).to.equal(1 << 20);
    // A buffer for each of them would take about 200 MiB.
    expect(grown).to.be.below(32 << 20);
  });

  it("has nothing where nothing was written", () => {
    const { stdout, stderr } = new CappedOutput(10).all();
    expect([stdout.length, stderr.length]).to.deep.equal([0, 0]);
  });
});
