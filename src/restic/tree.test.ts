import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { sha256Hex } from "../base/bytes.ts";
import { formatTime } from "./go-time.ts";
import type { Uint64 } from "./json-object.ts";
import { decodeTree, encodeTree, iterateTree, TreeBuilder } from "./tree.ts";
import { createNode, encodeNode, NODE_TYPES } from "./tree-node.ts";
import type { TreeNode } from "./tree-node.ts";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
const file = (name: string): TreeNode => createNode({ name, type: "file", content: [] });

const byteString = fc
  .uint8Array({ maxLength: 24 })
  .map((raw) => Buffer.from(raw).toString("latin1"));
const nodeName = byteString.filter(
  (name) => name !== "" && name !== "." && name !== ".." && !/[/\0]/.test(name),
);
const id = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((raw) => Buffer.from(raw).toString("hex"));
const uint64: fc.Arbitrary<Uint64> = fc
  .bigInt({ min: 0n, max: (1n << 64n) - 1n })
  .map((value) => (value <= Number.MAX_SAFE_INTEGER ? Number(value) : value));
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const text = fc.string({ unit: "grapheme" });
const time = fc
  .tuple(
    fc.bigInt({ min: 0n, max: 4_000_000_000_000_000_000n }),
    fc.integer({ min: -840, max: 840 }),
  )
  .map(([moment, zone]) => formatTime(moment, zone));

const node: fc.Arbitrary<TreeNode> = fc
  .record({
    name: nodeName,
    type: fc.constantFrom(...NODE_TYPES),
    mode: uint32,
    mtime: time,
    atime: time,
    ctime: time,
    uid: uint32,
    gid: uint32,
    user: text,
    group: text,
    inode: uint64,
    deviceId: uint64,
    size: uint64,
    links: uint64,
    linkTarget: byteString,
    extendedAttributes: fc.option(
      fc.array(
        fc
          .tuple(text, fc.option(fc.uint8Array({ maxLength: 5 })))
          .map(([name, raw]) => ({ name, value: raw === null ? null : Buffer.from(raw) })),
        { minLength: 1, maxLength: 2 },
      ),
    ),
    genericAttributes: fc.constantFrom("", '{"windows.file_attributes":32}'),
    device: uint64,
    content: fc.option(fc.array(id, { maxLength: 3 })),
    subtree: fc.option(id),
    error: text,
    extra: fc.constantFrom("", '"future":[1,{"a":"}"}]'),
  })
  .map((fields) => createNode(fields));

const tree = fc
  .uniqueArray(node, { selector: ({ name }) => name, maxLength: 8 })
  .map((nodes) => nodes.sort((a, b) => (a.name < b.name ? -1 : 1)));

test("an empty directory has restic's well-known id", () => {
  const expected = "ac08ce34ba4f8123618661bef2425f7028ffb9ac740578a3ee88684d2523fee8";
  assert.equal(sha256Hex(encodeTree([])), expected);
  assert.deepEqual(decodeTree(encodeTree([])), []);
});

test("every tree survives, and encodes to the same bytes again", () => {
  fc.assert(
    fc.property(tree, (nodes) => {
      const encoded = encodeTree(nodes);
      const decoded = decodeTree(encoded);
      assert.deepEqual(
        decoded.map(({ spelling: _, ...rest }) => rest),
        nodes.map(({ spelling: _, ...rest }) => rest),
      );
      assert.ok(encodeTree(decoded).equals(encoded));
      const parsed = JSON.parse(encoded.toString("utf8")) as { nodes: unknown[] };
      assert.equal(parsed.nodes.length, nodes.length);
    }),
  );
});

test("the order is that of raw bytes, not of UTF-16", () => {
  // U+FB01 sorts after U+10000 as UTF-16 but before it as UTF-8.
  const names = ["\ufb01", "\u{10000}"].map((name) => Buffer.from(name).toString("latin1"));
  assert.equal(decodeTree(encodeTree(names.map(file))).length, 2);
  assert.throws(() => encodeTree(names.toReversed().map(file)), { code: "BUG" });
});

test("a builder refuses equal and descending names", () => {
  const builder = new TreeBuilder();
  builder.add(file("b"));
  assert.throws(() => builder.add(file("b")), { code: "BUG" });
  assert.throws(() => builder.add(file("a")), { code: "BUG" });
  builder.addEncoded("c", encodeNode(file("c")));
  assert.equal(builder.count, 2);
  const size = builder.bytes;
  const finished = builder.finish();
  assert.equal(finished.length, size);
  assert.ok(finished.equals(encodeTree([file("b"), file("c")])));
});

test("a decoder refuses equal and descending names", () => {
  const json = (name: string): string => encodeNode(file(name));
  for (const names of [
    ["a", "a"],
    ["b", "a"],
    ["a", "\\"],
  ]) {
    const damaged = bytes(`{"nodes":[${names.map(json).join(",")}]}\n`);
    assert.throws(() => decodeTree(damaged), { code: "TREE_DAMAGED" });
  }
});

test("members around the nodes, white space and a missing newline are accepted", () => {
  const json = encodeNode(file("a"));
  for (const whole of [
    `{"nodes":[${json}]}`,
    ` { "version" : {"a":["]}"]} , "nodes" : [ ${json} ] , "more":"x\\"" } \n`,
    `{"nodes":[${json}],"later":null}\n`,
  ]) {
    assert.deepEqual(decodeTree(bytes(whole)), [file("a")]);
  }
});

test("what is no tree is damage", () => {
  const json = encodeNode(file("a"));
  for (const whole of [
    "",
    "{}",
    "[]",
    "null",
    '{"nodes":null}',
    '{"nodes":{}}',
    '{"nodes":[null]}',
    '{"nodes":[1]}',
    '{"nodes":["a"]}',
    '{"nodes":[{}]}',
    '{"nodes":[,]}',
    `{"nodes":[${json},]}`,
    `{"nodes":[${json}${json}]}`,
    `{"nodes":[${json}]`,
    `{"nodes":[${json}`,
    `{"nodes":[${json}]}}`,
    `{"nodes":[${json}]} x`,
    `{"nodes":[${json}],"a":tru}`,
    `{"nodes":[${json}],"a"}`,
    `{"nodes":[${json}],}`,
    `{"a":1 "nodes":[${json}]}`,
    `{"nodes":[{"name":"a","type":"file"`,
    `{"nodes":[{"name":"a\\`,
    `{"nodes":[${"[".repeat(100_000)}`,
  ]) {
    assert.throws(() => decodeTree(bytes(whole)), { code: "TREE_DAMAGED" }, whole.slice(0, 80));
  }
});

test("nodes before the damage are handed out one by one", () => {
  const damaged = bytes(`{"nodes":[${encodeNode(file("a"))},{"name":1}]}`);
  const nodes = iterateTree(damaged);
  assert.equal((nodes.next().value as TreeNode).name, "a");
  assert.throws(() => nodes.next(), { code: "TREE_DAMAGED" });
});
