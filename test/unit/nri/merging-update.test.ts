import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import {
  StopContainerRequestSchema,
  StopContainerResponseSchema,
  SynchronizeResponseSchema,
  UpdateContainersRequestSchema,
} from "../../../src/gen/nri/v1alpha1/api_pb.js";
import type { ContainerUpdate } from "../../../src/gen/nri/v1alpha1/api_pb.js";
import { kindThrown, merging, update, updateRequest, updates } from "./support.ts";

const one = { value: 1n };
const two = { value: 2n };

const brief = (list: readonly ContainerUpdate[]) =>
  list.map(({ containerId, linux }) => {
    const { cpu, memory, pids } = linux?.resources ?? {};
    return [containerId, cpu?.cpus ?? "", memory?.limit?.value ?? 0n, pids?.limit ?? 0n];
  });

describe("answers to UpdateContainer, StopContainer and Synchronize", () => {
  it("plugins' resources come over those that were asked for", () => {
    const collector = merging.update(updateRequest("c", { cpu: { shares: one, cpus: "0" } }));
    collector.add("10-a", updates(update("c", { cpu: { cpus: "1" } })));
    expect(collector.request.linuxResources?.cpu?.cpus).to.equal("1");
    collector.add("20-b", updates(update("c", { memory: { limit: two }, pids: { limit: 5n } })));
    const { resources, updates: others } = collector.result();
    expect(resources?.cpu?.shares?.value).to.equal(1n);
    expect(resources?.cpu?.cpus).to.equal("1");
    expect(resources?.memory?.limit?.value).to.equal(2n);
    expect(resources?.pids?.limit).to.equal(5n);
    expect(others).to.deep.equal([]);
  });

  it("without a plugin's word the request is as it was", () => {
    const collector = merging.update(updateRequest("c", { cpu: { shares: two } }));
    collector.add("10-a", updates());
    collector.add("20-b", updates(update("c", {})));
    expect(collector.result().resources?.cpu?.shares?.value).to.equal(2n);
  });

  it("other containers are updated by each plugin's part, and are in conflict like adjustments", () => {
    const collector = merging.update(updateRequest("c", {}));
    collector.add("10-a", updates(update("x", { cpu: { cpus: "0" } })));
    collector.add(
      "20-b",
      updates(update("x", { memory: { limit: one } }), update("y", { pids: { limit: 3n } })),
    );
    const conflict = () => {
      collector.add("30-c", updates(update("x", { cpu: { cpus: "2" } })));
    };
    expect(conflict).to.throw('NRI plugins "30-c" and "10-a" both tried to set CPUSetCPUs');
    expect(kindThrown(conflict)).to.equal("FailedPrecondition");
    const { updates: others, owners } = collector.result();
    expect(brief(others)).to.deep.equal([
      ["x", "0", 1n, 0n],
      ["y", "", 0n, 3n],
    ]);
    expect(Object.keys(owners.owners).sort()).to.deep.equal(["x", "y"]);
  });

  it("an update whose failure is to be ignored is dropped whole, and owns nothing", () => {
    const collector = merging.update(updateRequest("c", {}));
    collector.add("10-a", updates(update("x", { cpu: { cpus: "0" } })));
    collector.add(
      "20-b",
      updates(update("x", { memory: { limit: one }, cpu: { cpus: "1" } }, true)),
    );
    collector.add("30-c", updates(update("x", { memory: { limit: two } })));
    expect(brief(collector.result().updates)).to.deep.equal([["x", "0", 2n, 0n]]);
  });

  it("failures are ignored only where every plugin says so", () => {
    const collector = merging.update(updateRequest("c", {}));
    collector.add("10-a", updates(update("x", { cpu: { cpus: "0" } }, true)));
    expect(collector.result().updates[0]?.ignoreFailure).to.equal(true);
    collector.add("20-b", updates(update("x", { pids: { limit: 1n } }, false)));
    expect(collector.result().updates[0]?.ignoreFailure).to.equal(false);
  });

  it("a stopped container's resources go to others", () => {
    const collector = merging.stop(create(StopContainerRequestSchema, { container: { id: "c" } }));
    const response = create(StopContainerResponseSchema, {
      update: [update("x", { cpu: { cpus: "0-3" } })],
    });
    collector.add("10-a", response);
    expect(() => {
      collector.add("20-b", response);
    }).to.throw("both tried to set CPUSetCPUs");
    expect(brief(collector.result())).to.deep.equal([["x", "0-3", 0n, 0n]]);
  });

  it("one plugin's own updates are in conflict with themselves, and evictions are refused", () => {
    const asked = [update("x", { cpu: { cpus: "0" } }), update("y", { cpu: { cpus: "0" } })];
    const synchronized = create(SynchronizeResponseSchema, { update: asked });
    expect(brief(merging.updatesOf("10-a", synchronized))).to.have.length(2);
    const twice = create(UpdateContainersRequestSchema, { update: [...asked, ...asked] });
    expect(() => merging.updatesOf("10-a", twice)).to.throw('plugins "10-a" and "10-a"');
    const evicting = create(UpdateContainersRequestSchema, { evict: [{ containerId: "x" }] });
    expect(kindThrown(() => merging.updatesOf("10-a", evicting))).to.equal("Unimplemented");
  });
});
