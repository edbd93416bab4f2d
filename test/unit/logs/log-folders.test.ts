import { expect } from "chai";
import type { ResumedLog } from "../../../src/logs/container-logs.ts";
import { askFolders } from "../../../src/logs/log-folders.ts";

describe("the folders of logs that are gone on with", () => {
  const target = (containerId: string, logDirectory: string): ResumedLog =>
    ({ containerId, logDirectory }) as ResumedLog;

  it("are asked once each and all at once; one that does not answer is waited for alone", async () => {
    const asked: string[] = [];
    let hung: (error: Error) => void = () => undefined;
    const targets = [target("a", "/dead"), target("b", "/fine"), target("c", "/dead")];
    const answers = askFolders(targets, (folder) => {
      asked.push(folder);
      if (folder === "/fine") return Promise.resolve();
      return new Promise((_, reject) => (hung = reject));
    });
    expect(asked).to.deep.equal(["/dead", "/fine"]);
    await answers.get("/fine");
    hung(new Error("no answer"));
    const error = await answers.get("/dead")?.catch((one: unknown) => one);
    expect(String(error)).to.include("no answer");
  });
});
