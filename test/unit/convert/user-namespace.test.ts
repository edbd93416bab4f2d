import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect } from "chai";
import {
  mappingWarning,
  requireSamePodIds,
  toPodIds,
} from "../../../src/convert/user-namespace.ts";
import {
  NamespaceMode,
  NamespaceOptionSchema,
  UserNamespaceSchema,
} from "../../../src/gen/runtime/v1/api_pb.js";
import { refuses, unknownEnum } from "./support.ts";

const { POD, NODE, CONTAINER, TARGET } = NamespaceMode;
const one = [{ hostId: 131072, containerId: 0, length: 65536 }];
const ids = (
  userns: MessageInitShape<typeof UserNamespaceSchema>,
  kind?: "network" | "pid" | "ipc",
) => {
  const options = create(NamespaceOptionSchema);
  options.usernsOptions = create(UserNamespaceSchema, userns);
  if (kind !== undefined) options[kind] = NODE;
  return toPodIds(options);
};

describe("a pod's user namespace", () => {
  it("is one mapping from id 0 on", () => {
    expect(ids({ mode: POD, uids: one, gids: one })).to.deep.equal({ hostId: 131072, size: 65536 });
  });

  it("is the node's when nothing or NODE is said", () => {
    expect(toPodIds(undefined)).to.equal(undefined);
    expect(toPodIds(create(NamespaceOptionSchema, {}))).to.equal(undefined);
    expect(ids({ mode: NODE })).to.equal(undefined);
  });

  const other = [{ hostId: 196608, containerId: 0, length: 65536 }];
  for (const [what, userns, message] of [
    ["CONTAINER", { mode: CONTAINER, uids: one, gids: one }, /mode CONTAINER is not supported/],
    ["TARGET", { mode: TARGET, uids: one, gids: one }, /mode TARGET is not supported/],
    ["an unknown mode", { mode: unknownEnum(9), uids: one, gids: one }, /mode 9/],
    ["no mapping", { mode: POD }, /uids: 0 mappings/],
    ["two mappings", { mode: POD, uids: [...one, ...other], gids: one }, /uids: 2 mappings/],
    ["no gids", { mode: POD, uids: one }, /gids: 0 mappings/],
    ["unlike gids", { mode: POD, uids: one, gids: other }, /alike/],
    [
      "an unmapped 0",
      { mode: POD, uids: [{ ...one[0], containerId: 1 }], gids: one },
      /id 0 of the container is not mapped/,
    ],
    ["length 0", { mode: POD, uids: [{ ...one[0], length: 0 }], gids: one }, /length 0/],
    [
      "ids beyond 32 bits",
      { mode: POD, uids: [{ ...one[0], hostId: 4294967295 }], gids: one },
      /32-bit/,
    ],
    ["mappings of the node", { mode: NODE, uids: one }, /is the node's/],
  ] as const)
    it(`refuses ${what}`, () => {
      refuses(() => ids(userns as MessageInitShape<typeof UserNamespaceSchema>), message);
    });

  it("takes ids of the node's own users, with a warning", () => {
    for (const [hostId, words] of [
      [0, /from 0 on, its root being the node's root/],
      [1000, /from 1000 on$/],
      [65535, /from 65535 on$/],
      [65536, /^$/],
    ] as const) {
      const mapping = [{ hostId, containerId: 0, length: 100000 }];
      const taken = ids({ mode: POD, uids: mapping, gids: mapping });
      expect(taken).to.deep.equal({ hostId, size: 100000 });
      expect(mappingWarning(taken)).to.match(words);
    }
  });

  for (const kind of ["network", "pid", "ipc"] as const)
    it(`refuses the node's ${kind} namespace beside it`, () => {
      refuses(() => ids({ mode: POD, uids: one, gids: one }, kind), new RegExp(kind));
    });

  it("is the same for the pod's containers", () => {
    const pod = { hostId: 131072, size: 65536 };
    requireSamePodIds({ ...pod }, pod);
    requireSamePodIds(undefined, undefined);
    for (const [container, sandbox] of [
      [undefined, pod],
      [pod, undefined],
      [{ ...pod, hostId: 196608 }, pod],
      [{ ...pod, size: 131072 }, pod],
    ])
      refuses(() => {
        requireSamePodIds(container, sandbox);
      }, /not that of the pod/);
  });
});
