import { expect } from "chai";
import fc from "fast-check";
import { removeMember, setMember } from "../../../src/admin/json-text.ts";

const runtime = { path: "/p", runtimeArgs: ["--a"] };

describe("admin/json-text", () => {
  for (const [what, text, expected] of [
    [
      "to an object of the file's own indentation",
      '{\n\t"b": 1 ,\n\t"a" : [ 1,2 ]\n}\n',
      '{\n\t"b": 1 ,\n\t"a" : [ 1,2 ],\n\t"runtimes": {\n\t\t"x": {\n\t\t\t"path": "/p"\n\t\t}\n\t}\n}\n',
    ],
    ["to an empty one", "{}", '{\n  "runtimes": {\n    "x": {\n      "path": "/p"\n    }\n  }\n}'],
    [
      "behind others of the inner object",
      '{\n    "runtimes": {\n        "crun": {"path":"/c"}\n    },\n    "z": "}\\""\n}',
      '{\n    "runtimes": {\n        "crun": {"path":"/c"},\n        "x": {\n            "path": "/p"\n        }\n    },\n    "z": "}\\""\n}',
    ],
    [
      "in the place of the old value",
      '{\n  "runtimes": {\n    "x": {"path": "/old"},\n    "y": {}\n  }\n}',
      '{\n  "runtimes": {\n    "x": {\n      "path": "/p"\n    },\n    "y": {}\n  }\n}',
    ],
  ] as const) {
    it(`adds a member ${what}`, () => {
      expect(setMember(text, ["runtimes", "x"], { path: "/p" })).to.equal(expected);
    });
  }

  it("gives every byte back when what it added is removed", () => {
    const spaces = fc.constantFrom("", " ", "\n  ", "\t", "\r\n    ");
    const inner = fc.dictionary(fc.string(), fc.jsonValue(), { noNullPrototype: true });
    fc.assert(
      fc.property(inner, inner, fc.constantFrom(0, 2, 4, "\t"), spaces, (top, own, indent, end) => {
        const all: Record<string, unknown> = { ...top, runtimes: { ...own, other: 1 } };
        const text = JSON.stringify(all, undefined, indent) + end;
        if (Object.hasOwn(own, "x")) return;
        const added = setMember(text, ["runtimes", "x"], runtime);
        expect(JSON.parse(added)).to.deep.equal(
          JSON.parse(JSON.stringify({ ...all, runtimes: { ...own, other: 1, x: runtime } })),
        );
        expect(removeMember(added, ["runtimes", "x"])).to.equal(text);
      }),
    );
  });

  it("changes only the value of a member that is there, and removes first, middle and last", () => {
    const text = '{"a": 1,  "b":{"c": "\\\\"} , "d":null}';
    expect(setMember(text, ["b"], 2)).to.equal('{"a": 1,  "b":2 , "d":null}');
    expect(removeMember(text, ["a"])).to.equal('{"b":{"c": "\\\\"} , "d":null}');
    expect(removeMember(text, ["b"])).to.equal('{"a": 1 , "d":null}');
    expect(removeMember(text, ["d"])).to.equal('{"a": 1,  "b":{"c": "\\\\"}}');
    expect(removeMember(text, ["b", "c"])).to.equal('{"a": 1,  "b":{} , "d":null}');
    expect(removeMember(text, ["x"])).to.equal(text);
  });

  it("refuses what it cannot know its way in", () => {
    expect(() => setMember("[]", ["a"], 1)).to.throw("not a JSON object");
    expect(() => setMember("{a: 1}", ["a"], 1)).to.throw(SyntaxError);
    expect(() => setMember('{"a":1,"a":2}', ["a"], 1)).to.throw("twice");
  });
});
