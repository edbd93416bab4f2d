import { expect } from "chai";
import { callErrorText } from "../../../src/cri/call-error.ts";
import { connect, serviceClient } from "../../../src/cri/client.ts";
import { RuntimeService } from "../../../src/gen/runtime/v1/api_pb.js";
import { callError } from "../../support/fake-cri.ts";

describe("a failed call, as a person reads it", () => {
  it("has the server's words, without the protocol's", () => {
    const text = (code: number, details: string): string =>
      callErrorText(callError(code, details), "unix:///s");
    expect(text(13, "start container abc: no such program")).to.equal(
      "start container abc: no such program",
    );
    expect(text(14, "Docker does not answer")).to.equal("Docker does not answer");
    expect(text(14, "Connection dropped")).to.contain("it has closed the connection");
    expect(text(2, "")).to.equal("the server answers with UNKNOWN and no reason");
    expect(callErrorText(new Error("no call"), "unix:///s")).to.equal("no call");
  });

  it("says where no server answers, and why", async () => {
    const endpoint = "unix:///run/no-such-folder/dockline.sock";
    const connection = connect(endpoint);
    try {
      const error = await serviceClient(connection, RuntimeService)
        .version({}, { timeoutMs: 20_000 })
        .catch((reason: unknown) => reason);
      expect(callErrorText(error, endpoint)).to.equal(
        `no server answers at ${endpoint} (connect /run/no-such-folder/dockline.sock: no such file or directory): does Dockline run, and may this user open its socket?`,
      );
    } finally {
      connection.close();
    }
  });
});
