import { before, test } from "node:test";
import assert from "node:assert/strict";
import { textToByteString } from "../restic/byte-string.ts";
import { toGoMode } from "../restic/file-mode.ts";
import { createNode } from "../restic/tree-node.ts";
import type { NodeType, TreeNode } from "../restic/tree-node.ts";
import { formatMode, formatNode, nodeMessage } from "./node-line.ts";

before(() => {
  process.env["TZ"] = "Europe/Brussels";
});

function node(type: NodeType, stMode: number, fields: Partial<TreeNode> = {}): TreeNode {
  const mtime = "2026-11-23T22:17:04.5+01:00";
  return createNode({ name: "x", type, mode: toGoMode(stMode), mtime, ...fields });
}

const target = textToByteString("tär get");

// Lines printed by restic 0.19.1.
const LINES: [line: string, path: string, node: TreeNode][] = [
  ["drwxr-xr-x     0     0      0 2026-11-23 22:17:04 /dev", "/dev", node("dir", 0o40755)],
  ["Drw-r--r--     0     0      0 2026-11-23 22:17:04 /dev/blk", "/dev/blk", node("dev", 0o60644)],
  [
    "Dcrw-r--r--     0     0      0 2026-11-23 22:17:04 /dev/chr",
    "/dev/chr",
    node("chardev", 0o20644),
  ],
  [
    `Lrwxrwxrwx     0     0      0 2026-11-23 22:17:04 /dev/l -> ${target}`,
    "/dev/l",
    node("symlink", 0o120777, { linkTarget: target }),
  ],
  [
    "-rw-r--r--     0     0      0 1970-01-01 00:59:59 /dev/old",
    "/dev/old",
    node("file", 0o100644, { mtime: "1970-01-01T00:59:59.5+01:00" }),
  ],
  [
    "-rw-r--r--     0     0      0 2026-11-23 22:17:04 /dev/raw\xff",
    "/dev/raw\xff",
    node("file", 0o100644),
  ],
  ["grwxr-xr-x     0     0      0 2026-11-23 22:17:04 /dev/sg", "/dev/sg", node("file", 0o102755)],
  ["dgtrwxrwxrwx     0     0      0 2026-11-23 22:17:04 /dev/st", "/dev/st", node("dir", 0o43777)],
  ["prw-r--r--     0     0      0 2026-11-23 22:17:04 /src/p", "/src/p", node("fifo", 0o10644)],
  [
    "urwxr-xr-x  1000 65534 3000000 2026-11-23 22:17:04 /src/b",
    "/src/b",
    node("file", 0o104755, { uid: 1000, gid: 65534, size: 3_000_000 }),
  ],
];

test("long lines", () => {
  for (const [line, path, each] of LINES)
    assert.equal(formatNode(path, each, { long: true }), line);
});

test("sizes with units", () => {
  const file = node("file", 0o100644, { size: 3_000_000 });
  const line = "-rw-r--r--     0     0 2.861 MiB 2026-11-23 22:17:04 /src/b";
  assert.equal(formatNode("/src/b", file, { long: true, humanReadable: true }), line);
});

test("short lines are the path, byte for byte or made harmless", () => {
  const file = node("file", 0o100644);
  assert.equal(formatNode("/a\x1b\xff", file), "/a\x1b\xff");
  assert.equal(formatNode("/a\x1b\xff", file, { quote: true }), '"/a\\x1b\\xff"');
  assert.equal(formatNode(textToByteString("/é"), file, { quote: true }), textToByteString("/é"));
});

test("modes", () => {
  assert.equal(formatMode(toGoMode(0o140600)), "Srw-------");
  assert.equal(formatMode(toGoMode(0o101777)), "trwxrwxrwx");
  assert.equal(formatMode(0), "----------");
});

test("a message has restic's members in restic's order", () => {
  const file = node("file", 0o100644, { name: "a\xff<", inode: 7n + 2n ** 60n, uid: 3 });
  const times = [file.mtime, file.atime, file.ctime];
  assert.equal(
    nodeMessage("/d/a\xff<", file),
    '{"name":"a\\ufffd\\u003c","type":"file","path":"/d/a\\ufffd\\u003c","uid":3,"gid":0,"size":0,' +
      '"mode":420,"permissions":"-rw-r--r--",' +
      `"mtime":"${times[0]}","atime":"${times[1]}","ctime":"${times[2]}",` +
      '"inode":1152921504606846983,"message_type":"node","struct_type":"node"}',
  );
  const bare = createNode({ name: "x", type: "dir", mode: 0, size: 4096 });
  assert.ok(!/"(size|mode|inode)"/.test(nodeMessage("/x", bare)));
});
