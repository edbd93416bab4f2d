import { expect } from "chai";
import fc from "fast-check";
import { EngineError } from "../../../src/engine/errors.ts";
import { pathSegment, routeOf } from "../../../src/engine/route.ts";

describe("routeOf", () => {
  for (const [path, route] of [
    ["/v1.41/containers/0f/json?size=1", "/containers/{id}/json"],
    ["/v1.47/containers/create?name=x", "/containers/create"],
    ["/containers/json?all=1", "/containers/json"],
    ["/v1.41/containers/json/json", "/containers/{id}/json"],
    ["/v1.41/containers/0f", "/containers/{id}"],
    ["/exec/0f/start", "/exec/{id}/start"],
    ["/images/docker.io%2Fa%2Fb%3Ac/json", "/images/{name}/json"],
    ["/images/create?fromImage=a", "/images/create"],
    ["/images/load", "/images/load"],
    ["/images/a", "/images/{name}"],
    ["/_ping", "/_ping"],
    ["/v1.41/system/df?type=image", "/system/df"],
  ] as const) {
    it(`${path} is ${route}`, () => expect(routeOf(path)).to.equal(route));
  }
});

describe("pathSegment", () => {
  it("never leaves its segment", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("container", "exec", "image"),
        fc.string({ unit: "binary" }),
        (noun, id) => {
          let segment: string;
          try {
            segment = pathSegment(noun, id, "inspect");
          } catch (error) {
            expect(error).to.be.instanceOf(EngineError);
            return;
          }
          const url = new URL(`http://docker/v1.41/${noun}/${segment}/json`);
          expect(url.pathname).to.equal(`/v1.41/${noun}/${segment}/json`);
          expect(url.search + url.hash).to.equal("");
          // Docker's router decodes the path before it cleans it.
          const decoded = decodeURIComponent(segment).split("/");
          expect(decoded).not.to.include.oneOf(["", ".", ".."]);
        },
      ),
    );
  });

  it("answers 404 itself for what Docker's router would take for another route", () => {
    for (const id of ["", "/", ".", "..", "../info", "a/b", "a/../b", "a\n", "a\0", "\ud800"]) {
      expect(() => pathSegment("container", id, "inspect container"), JSON.stringify(id))
        .to.throw(EngineError)
        .with.property("status", 404);
    }
    for (const reference of ["", "a//b", "../x", "a/..", "./a"]) {
      expect(() => pathSegment("image", reference, "inspect image"), reference).to.throw(
        EngineError,
      );
    }
  });

  it("escapes names that are allowed", () => {
    expect(pathSegment("container", "/x1", "inspect")).to.equal("x1");
    expect(pathSegment("container", "x?size=1#", "inspect")).to.equal("x%3Fsize%3D1%23");
    expect(pathSegment("image", "reg:5000/a/b@sha256:0", "inspect")).to.equal(
      "reg%3A5000%2Fa%2Fb%40sha256%3A0",
    );
  });
});
