import { spawn } from "node:child_process";
import { openSync, read, writeSync } from "node:fs";

// A FUSE file system of this process, mounted at the path of the first argument: folders that any
// request may make, and a file "file" in each that has a line and keeps what is written. It speaks the kernel's protocol on /dev/fuse itself, so
// that no package is needed. SIGSTOP leaves requests unread, as a killed network does; after SIGUSR2
// they are read and never answered, which makes whoever asks unkillable until this process ends.

const [, , mountPoint = ""] = process.argv;
const fd = openSync("/dev/fuse", "r+");

const ENOENT = 2;
const ENOSYS = 38;
const OPCODES = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  MKDIR: 9,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  ACCESS: 34,
  INTERRUPT: 36,
  BATCH_FORGET: 42,
};
const TEXT = Buffer.from("of the server\n");

interface Node {
  id: bigint;
  mode: number;
  children: Map<string, Node>;
  content: Buffer;
}

const nodes = new Map<bigint, Node>();
function folder(): Node {
  const made: Node = {
    ...{ id: BigInt(nodes.size + 1), mode: 0o40755 },
    ...{ children: new Map<string, Node>(), content: Buffer.alloc(0) },
  };
  nodes.set(made.id, made);
  const file: Node = {
    ...{ id: BigInt(nodes.size + 1), mode: 0o100644 },
    ...{ children: new Map<string, Node>(), content: TEXT },
  };
  nodes.set(file.id, file);
  made.children.set("file", file);
  return made;
}
folder();

/** struct fuse_attr of linux/fuse.h. */
function attributes({ id, mode, content }: Node): Buffer {
  const out = Buffer.alloc(88);
  out.writeBigUInt64LE(id, 0);
  out.writeBigUInt64LE(BigInt(content.length), 8);
  out.writeUInt32LE(mode, 60);
  out.writeUInt32LE(1, 64);
  out.writeUInt32LE(4096, 80);
  return out;
}

/** struct fuse_entry_out; nothing of it is cached. */
function entry(node: Node): Buffer {
  const head = Buffer.alloc(40);
  head.writeBigUInt64LE(node.id, 0);
  return Buffer.concat([head, attributes(node)]);
}

const attributesOut = (node: Node): Buffer => Buffer.concat([Buffer.alloc(16), attributes(node)]);

function initOut(): Buffer {
  const out = Buffer.alloc(64);
  out.writeUInt32LE(7, 0);
  out.writeUInt32LE(31, 4);
  out.writeUInt32LE(65536, 20);
  return out;
}

const nameIn = (body: Buffer, from: number): string =>
  body.toString("utf8", from, body.indexOf(0, from));

/** Of a SETATTR that changes a file's size. */
const SIZE = 1 << 3;

/** Where a READ or WRITE begins and ends. */
function range(body: Buffer): [start: number, end: number] {
  const start = Number(body.readBigUInt64LE(8));
  return [start, start + body.readUInt32LE(16)];
}

const sized = (content: Buffer, size: number): Buffer =>
  Buffer.concat([content, Buffer.alloc(Math.max(0, size - content.length))]).subarray(0, size);

/** The answer's body, an errno, or undefined for requests that have none. */
function answerTo(opcode: number, node: Node, body: Buffer): Buffer | number | undefined {
  switch (opcode) {
    case OPCODES.INIT:
      return initOut();
    case OPCODES.FORGET:
    case OPCODES.BATCH_FORGET:
    case OPCODES.INTERRUPT:
      return undefined;
    case OPCODES.LOOKUP: {
      const found = node.children.get(nameIn(body, 0));
      return found === undefined ? ENOENT : entry(found);
    }
    case OPCODES.MKDIR: {
      const made = folder();
      node.children.set(nameIn(body, 8), made);
      return entry(made);
    }
    case OPCODES.SETATTR:
      if ((body.readUInt32LE(0) & SIZE) !== 0)
        node.content = sized(node.content, Number(body.readBigUInt64LE(16)));
      return attributesOut(node);
    case OPCODES.GETATTR:
      return attributesOut(node);
    case OPCODES.OPEN:
    case OPCODES.OPENDIR:
      return Buffer.alloc(16);
    case OPCODES.READ:
      return node.content.subarray(...range(body));
    case OPCODES.WRITE: {
      const [start, end] = range(body);
      node.content = sized(node.content, Math.max(node.content.length, end));
      body.copy(node.content, start, 40, 40 + end - start);
      const out = Buffer.alloc(8);
      out.writeUInt32LE(end - start, 0);
      return out;
    }
    case OPCODES.STATFS:
      return Buffer.alloc(80);
    case OPCODES.RELEASE:
    case OPCODES.RELEASEDIR:
    case OPCODES.READDIR:
    case OPCODES.ACCESS:
      return Buffer.alloc(0);
    default:
      return ENOSYS;
  }
}

let swallow = false;
process.on("SIGUSR2", () => {
  swallow = true;
  process.stdout.write("swallows\n");
});

const buffer = Buffer.alloc(1 << 18);
function next(): void {
  read(fd, buffer, 0, buffer.length, null, (error, length) => {
    // Unmounted, or ended by /sys/fs/fuse/connections.
    if (error?.code === "ENODEV") process.exit(0);
    if (error === null && !swallow) {
      const request = buffer.subarray(0, length);
      const opcode = request.readUInt32LE(4);
      const unique = request.readBigUInt64LE(8);
      const node = nodes.get(request.readBigUInt64LE(16)) ?? nodes.get(1n);
      const given = node === undefined ? ENOENT : answerTo(opcode, node, request.subarray(40));
      if (given !== undefined) {
        const body = typeof given === "number" ? Buffer.alloc(0) : given;
        const head = Buffer.alloc(16);
        head.writeUInt32LE(16 + body.length, 0);
        head.writeInt32LE(typeof given === "number" ? -given : 0, 4);
        head.writeBigUInt64LE(unique, 8);
        try {
          writeSync(fd, Buffer.concat([head, body]));
        } catch (failure) {
          // Whoever asked has gone.
          if ((failure as NodeJS.ErrnoException).code !== "ENOENT") throw failure;
        }
      }
      if (opcode === OPCODES.INIT) process.stdout.write("ready\n");
    }
    next();
  });
}
next();

spawn(
  "mount",
  [
    "-i",
    "-t",
    "fuse",
    "-o",
    "fd=3,rootmode=40000,user_id=0,group_id=0,allow_other",
    "test",
    mountPoint,
  ],
  { stdio: ["ignore", "inherit", "inherit", fd] },
).on("exit", (code) => {
  if (code !== 0) process.exit(1);
});
