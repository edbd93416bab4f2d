import { expect } from "chai";
import { parseEvent } from "../../../src/engine/events.ts";

const line = (
  attributes: string,
  rest = '"time":1795265197,"timeNano":1795265197547025813',
): string =>
  `{"status":"start","Type":"container","Action":"start","Actor":{"ID":"abc","Attributes":${attributes}},"scope":"local",${rest}}`;

describe("parseEvent", () => {
  it("keeps every nanosecond", () => {
    expect(parseEvent(line("{}"))?.timeNano).to.equal(1795265197547025813n);
  });

  it("is not misled by labels that look like the time field", () => {
    const evil = JSON.stringify({
      timeNano: "5",
      'x"timeNano":7': '"timeNano":8',
      '{"timeNano": 9}': "",
    });
    expect(parseEvent(line(evil))?.timeNano).to.equal(1795265197547025813n);
  });

  it("keeps labels of any name", () => {
    const found = parseEvent(line('{"__proto__":"p","constructor":"c","name":"n"}'));
    expect(Object.entries(found?.Actor.Attributes ?? {})).to.deep.equal([
      ["__proto__", "p"],
      ["constructor", "c"],
      ["name", "n"],
    ]);
    expect("toString" in (found?.Actor.Attributes ?? {})).to.equal(false);
  });

  it("reads an event without attributes", () => {
    expect(Object.keys(parseEvent(line("null"))?.Actor.Attributes ?? { a: 1 })).to.deep.equal([]);
  });

  it("takes what is no event for none", () => {
    const others = [
      "",
      "null",
      "7",
      "[]",
      "{}",
      '{"Type":"container","Action":"die"}',
      line("{}").slice(0, -1),
      line("{}", '"timeNano":null'),
      line("{}", '"time":1'),
    ];
    for (const other of others) expect(parseEvent(other), other).to.equal(undefined);
  });
});
