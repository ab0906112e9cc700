// The JSON texts were made by Go 1.26 from a struct with the members that docs/formats/restic.md#trees lists.

import assert from "node:assert/strict";
import test from "node:test";
import { createNode, encodeNode } from "./tree-node.ts";
import type { TreeNode } from "./tree-node.ts";
import { decodeNode } from "./tree-node-decode.ts";

const ID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const MOMENT = "2024-03-01T12:30:45.123456Z";
const TIMES = { mtime: MOMENT, atime: MOMENT, ctime: MOMENT };
const TIMES_JSON = `"mtime":"${MOMENT}","atime":"${MOMENT}","ctime":"${MOMENT}"`;
const LOCAL = "2024-03-01T13:30:45.123456+01:00";
const utf8 = (text: string): string => Buffer.from(text).toString("latin1");

/** [node, its JSON]. */
const VECTORS: readonly (readonly [node: TreeNode, json: string])[] = [
  [
    createNode({
      name: "plain.txt",
      type: "file",
      mode: 0o644,
      ...TIMES,
      uid: 1000,
      gid: 1000,
      user: "odoo",
      group: "odoo",
      inode: 42,
      size: 5,
      links: 1,
      content: [ID],
    }),
    `{"name":"plain.txt","type":"file","mode":420,${TIMES_JSON},"uid":1000,"gid":1000,"user":"odoo","group":"odoo","inode":42,"size":5,"links":1,"content":["${ID}"]}`,
  ],
  [
    createNode({ name: "empty", type: "file", ...TIMES, content: [] }),
    `{"name":"empty","type":"file",${TIMES_JSON},"uid":0,"gid":0,"content":[]}`,
  ],
  [
    createNode({
      name: "big",
      type: "file",
      mode: 0x80001ed,
      mtime: LOCAL,
      atime: LOCAL,
      ctime: LOCAL,
      inode: 18446744073709551615n,
      deviceId: 9007199254740993n,
      size: 9007199254740992n,
      links: 9007199254740991,
      content: [ID, ID],
    }),
    `{"name":"big","type":"file","mode":134218221,"mtime":"${LOCAL}","atime":"${LOCAL}","ctime":"${LOCAL}","uid":0,"gid":0,"inode":18446744073709551615,"device_id":9007199254740993,"size":9007199254740992,"links":9007199254740991,"content":["${ID}","${ID}"]}`,
  ],
  [
    createNode({
      name: "l",
      type: "symlink",
      ...TIMES,
      links: 1,
      linkTarget: "../a\xffb\xe2\x82<",
    }),
    `{"name":"l","type":"symlink",${TIMES_JSON},"uid":0,"gid":0,"links":1,"linktarget":"../a\\ufffdb\\ufffd\\ufffd\\u003c","linktarget_raw":"Li4vYf9i4oI8","content":null}`,
  ],
  [
    createNode({
      name: "m",
      type: "symlink",
      ...TIMES,
      links: 1,
      linkTarget: utf8('../\u2028\b\f\x01 ü "\\'),
    }),
    `{"name":"m","type":"symlink",${TIMES_JSON},"uid":0,"gid":0,"links":1,"linktarget":"../\\u2028\\b\\f\\u0001 ${utf8("ü")} \\"\\\\","content":null}`,
  ],
  [
    createNode({
      name: "x",
      type: "chardev",
      mode: 0x4200180,
      ...TIMES,
      extendedAttributes: [
        { name: "user.a", value: Buffer.of(0, 255, 16) },
        { name: "user.e", value: Buffer.of() },
        { name: "user.\udcffé", value: null },
      ],
      device: 1n << 60n,
      error: "lstat: <denied>",
    }),
    `{"name":"x","type":"chardev","mode":69206400,${TIMES_JSON},"uid":0,"gid":0,"extended_attributes":[{"name":"user.a","value":"AP8Q"},{"name":"user.e","value":""},{"name":"user.\\ufffd${utf8("é")}","value":null}],"device":1152921504606846976,"content":null,"error":"lstat: \\u003cdenied\\u003e"}`,
  ],
  [
    createNode({
      name: "w",
      type: "file",
      ...TIMES,
      genericAttributes:
        '{"windows.creation_time":{"LowDateTime":3905714176,"HighDateTime":30932216},"windows.file_attributes":32,"windows.security_descriptor":"AQAUvA=="}',
    }),
    `{"name":"w","type":"file",${TIMES_JSON},"uid":0,"gid":0,"generic_attributes":{"windows.creation_time":{"LowDateTime":3905714176,"HighDateTime":30932216},"windows.file_attributes":32,"windows.security_descriptor":"AQAUvA=="},"content":null}`,
  ],
  [
    createNode({ name: "zero", type: "irregular" }),
    `{"name":"zero","type":"irregular","mtime":"0001-01-01T00:00:00Z","atime":"0001-01-01T00:00:00Z","ctime":"0001-01-01T00:00:00Z","uid":0,"gid":0,"content":null}`,
  ],
];

const MINIMAL = `"type":"file",${TIMES_JSON},"uid":0,"gid":0`;

test("nodes are written as Go does, and read back", () => {
  for (const [node, json] of VECTORS) {
    assert.equal(encodeNode(node), json);
    assert.deepEqual(decodeNode(json), node);
  }
});

test("an owner's name that is not UTF-8 is written as Go does and kept when read", () => {
  const json = `{"name":"d\\\\xff\\\\n","type":"dir","mode":2147484141,${TIMES_JSON},"uid":0,"gid":0,"user":"b\\ufffd\\u003c${utf8("ä")}\\u003e","group":"${utf8("\u{1f600}")}\\u0026","content":null,"subtree":"${ID}"}`;
  const names = { name: "d\xff\n", group: "\u{1f600}&" };
  const made = { ...names, type: "dir", mode: 0x800001ed, ...TIMES, subtree: ID } as const;
  assert.equal(encodeNode(createNode({ ...made, user: "b\udcff<ä>" })), json);
  const node = decodeNode(json);
  assert.equal(node.user, "b\ufffd<ä>");
  assert.equal(encodeNode(node), json);
});

test("what other versions and programs spell differently is written again as it was", () => {
  const texts = [
    // Unicode 13 and 17 tables.
    `{"name":"\\\\U0001fae8",${MINIMAL},"content":null}`,
    `{"name":"${utf8("\u{1faea}")}",${MINIMAL},"content":null}`,
    // Go before 1.22, and targets of restic before 0.16.
    `{"name":"a",${MINIMAL},"linktarget":"\\u0008\\u000c","content":null}`,
    `{"name":"a",${MINIMAL},"linktarget":"x\\ufffdy","content":null}`,
    // Writers that do not escape < > &, or escape more.
    `{"name":"<&>",${MINIMAL},"user":"a&b","content":null,"error":"\\u00e9"}`,
    `{"name":"\\u00e9",${MINIMAL},"group":"\\ud83d\\ude00","content":null}`,
    // Members that we do not know.
    `{"name":"a",${MINIMAL},"content":null,"new":{"a":[1.50,"}\\""]},"${utf8("é")}":12345678901234567890}`,
  ];
  for (const json of texts) assert.equal(encodeNode(decodeNode(json)), json);
});

test("a spelling that was kept does not outlive the value", () => {
  const node = decodeNode(`{"name":"\\\\U0001fae8",${MINIMAL},"user":"\\ufffd","content":null}`);
  const changed = encodeNode({ ...node, name: "b", user: "c", linkTarget: "d" });
  assert.deepEqual(
    { ...decodeNode(changed) },
    createNode({ name: "b", type: "file", ...TIMES, user: "c", linkTarget: "d" }),
  );
});

test("escapes in JSON mean the same bytes as literal UTF-8", () => {
  const node = decodeNode(
    `{"name":"\\u00e9\\\\xff","type":"file","linktarget":"\\u00e9\\ud800","user":"\\u00e9","extended_attributes":[{"name":"\\u00e9","value":"AA=="}]}`,
  );
  assert.equal(node.name, "\xc3\xa9\xff");
  assert.equal(node.linkTarget, "\xc3\xa9\xef\xbf\xbd");
  assert.equal(node.user, "é");
  assert.equal(node.extendedAttributes?.[0]?.name, "é");
});

test("names that would lead elsewhere are hostile, both ways", () => {
  for (const name of ["..", "a/b", "/", "../x", "/etc", "a\\\\x2fb", "\\\\x2e\\\\u002e"]) {
    assert.throws(() => decodeNode(`{"name":"${name}",${MINIMAL}}`), { code: "TREE_HOSTILE" });
  }
  for (const name of ["..", "a/b", "/"]) {
    assert.throws(() => encodeNode(createNode({ name, type: "file" })), { code: "TREE_HOSTILE" });
  }
});

test("impossible names are damage, both ways", () => {
  for (const name of ["", ".", "\\\\x00", "a\\u0000", "\\\\q"]) {
    assert.throws(() => decodeNode(`{"name":"${name}",${MINIMAL}}`), { code: "TREE_DAMAGED" });
  }
  for (const name of ["", ".", "a\0"]) {
    assert.throws(() => encodeNode(createNode({ name, type: "file" })), { code: "TREE_DAMAGED" });
  }
});

test("a member of the wrong kind is damage", () => {
  const wrong = [
    `"type":"door"`,
    `"mode":-1`,
    `"mode":4294967296`,
    `"uid":1.5`,
    `"gid":"0"`,
    `"mtime":"yesterday"`,
    `"atime":0`,
    `"ctime":"2024-02-30T00:00:00Z"`,
    `"user":1`,
    `"size":-1`,
    `"size":18446744073709551616`,
    `"inode":1e20`,
    `"links":"1"`,
    `"linktarget":[]`,
    `"linktarget_raw":"!"`,
    `"extended_attributes":{}`,
    `"extended_attributes":[{"value":""}]`,
    `"extended_attributes":[{"name":"a","value":"A"}]`,
    `"extended_attributes":[null]`,
    `"generic_attributes":[]`,
    `"content":["${ID.slice(1)}"]`,
    `"content":["${ID.toUpperCase()}"]`,
    `"content":{}`,
    `"subtree":""`,
    `"error":false`,
  ];
  for (const member of wrong) {
    const json = `{"name":"a",${MINIMAL},${member}}`;
    assert.throws(() => decodeNode(json), { code: "TREE_DAMAGED" }, member);
  }
});
