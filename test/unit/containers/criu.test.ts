import { expect } from "chai";
import { firstError, whyNot } from "../../../src/containers/criu.ts";

describe("what CRIU says of itself", () => {
  it("is its first error, and not the one about 32-bit programs, which it can do without", () => {
    expect(
      firstError(
        [
          "Warn  (criu/kerndat.c:1): something small",
          "Error (criu/arch/x86/kerndat.c:106): ia32 mmap() failed: 4095",
          "Error (criu/vdso.c:381): vdso: Unexpected rt vDSO area bounds",
          "Error (criu/vdso.c:613): vdso: Failed to fill self vdso symtable",
        ].join("\n"),
      ),
    ).to.equal("Error (criu/vdso.c:381): vdso: Unexpected rt vDSO area bounds");
  });

  it("is its first line where none is an error, and nothing of nothing", () => {
    expect(firstError("\n  Looks good.\nReally.\n")).to.equal("Looks good.");
    expect(firstError("")).to.equal("");
  });

  it("is that it is not installed where there is no such program", async () => {
    expect(await whyNot("criu-that-is-not-there")).to.equal("criu is not installed");
    expect(await whyNot("true")).to.equal(undefined);
    expect(await whyNot("false")).to.equal("criu check: exit status 1");
  });
});
