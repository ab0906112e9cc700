// The fast reader of directory listings against the thorough one: what it accepts, iterateTree accepts, with the same
// references; and what restic writes for plain names it does accept.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { isHoldfastError } from "../base/errors.ts";
import { createKernels, TREE_RECORD_BYTES } from "./kernels.ts";
import { TREE_REFERENCES_BYTES, TreeReferences } from "./tree-references.ts";
import { iterateTree } from "./tree.ts";

const TREE_BYTES = 1 << 20;
const kernels = createKernels({ bytes: TREE_REFERENCES_BYTES + TREE_BYTES });
const references = new TreeReferences(kernels, kernels.base);
const treeAt = kernels.base + TREE_REFERENCES_BYTES;

type Reference = readonly ["data" | "tree", string];

function read(tree: string, at = treeAt): Reference[] | undefined {
  const plain = kernels.bytes.subarray(at, at + tree.length);
  plain.set(Buffer.from(tree, "latin1"));
  const count = references.read(plain);
  if (count === undefined) return undefined;
  return Array.from({ length: count }, (_, i) => {
    const id = Buffer.from(kernels.bytes.subarray(references.idAt(i), references.idAt(i) + 32));
    return [references.isTree(i) ? "tree" : "data", id.toString("hex")];
  });
}

/** By iterateTree, or undefined when something is wrong with the listing. */
function readThoroughly(tree: string): Reference[] | undefined {
  const found: Reference[] = [];
  try {
    for (const node of iterateTree(Buffer.from(tree, "latin1"))) {
      if (node.type === "file") {
        if (node.content === null) return undefined;
        for (const id of node.content) found.push(["data", id]);
      } else if (node.type === "dir") {
        if (node.subtree === null) return undefined;
        found.push(["tree", node.subtree]);
      }
    }
  } catch (error) {
    if (!isHoldfastError(error, "TREE_DAMAGED", "TREE_HOSTILE")) throw error;
    return undefined;
  }
  return found;
}

const A = "0123456789abcdef".repeat(4);
const B = "fedcba9876543210".repeat(4);
const TIMES =
  '"mtime":"2026-02-28T23:59:59.123456789+01:00","atime":"2024-02-29T00:00:00Z","ctime":"2026-12-31T09:05:00.1-11:30"';
const OWNER = '"uid":0,"gid":1000,"user":"root","group":"odoo users"';
const NODES = [
  `{"name":"a b","type":"dir","mode":2147484141,${TIMES},${OWNER},"inode":12,"device_id":64769,"content":null,"subtree":"${A}"}`,
  `{"name":"f","type":"file","mode":436,${TIMES},${OWNER},"inode":999999999999999,"size":0,"links":1,"content":[]}`,
  `{"name":"f0","type":"file","mode":436,${TIMES},"uid":0,"gid":0,"content":["${A}"]}`,
  `{"name":"f~","type":"file",${TIMES},"uid":4294967295,"gid":0,"size":3,"links":2,"content":["${B}","${A}","${B}"],"error":"gone"}`,
  `{"name":"link","type":"symlink","mode":134218239,${TIMES},"uid":0,"gid":0,"linktarget":"../x/y","content":null}`,
];
const tree = (nodes: readonly string[]): string => `{"nodes":[${nodes.join(",")}]}\n`;

suite("references of a listing", () => {
  test("of the plain form, in their order", () => {
    assert.deepEqual(read(tree([])), []);
    assert.deepEqual(read(tree(NODES)), [
      ["tree", A],
      ["data", A],
      ["data", B],
      ["data", A],
      ["data", B],
    ]);
    for (let shift = 0; shift < 16; shift++) {
      assert.deepEqual(read(tree(NODES), treeAt + shift), readThoroughly(tree(NODES)));
    }
  });

  test("are left to the thorough reader where a listing is not of the plain form, whatever stood there before", () => {
    const first = NODES[1]!;
    for (const other of [
      tree([first, first]),
      tree([NODES[2]!, first]),
      tree([first]).slice(0, -1),
      `${tree([first])} `,
      tree([first.replace('"f"', '"f/g"')]),
      tree([first.replace('"f"', '".."')]),
      tree([first.replace('"f"', '"."')]),
      tree([first.replace('"f"', '""')]),
      tree([first.replace('"f"', '"f\\n"')]),
      tree([first.replace('"f"', '"\xc3\xa9"')]),
      tree([first.replace('"f"', '"\x7f"')]),
      tree([first.replace("436", "4294967296")]),
      tree([first.replace("436", "0436")]),
      tree([first.replace("436", "-1")]),
      tree([first.replace("999999999999999", "9999999999999999")]),
      tree([first.replace("02-28", "02-30")]),
      tree([first.replace("2024-02-29", "2100-02-29")]),
      tree([first.replace("12-31", "11-31")]),
      tree([first.replace("23:59:59", "24:00:00")]),
      tree([first.replace("[]", "null")]),
      tree([first.replace("[]", `["${A.slice(1)}"]`)]),
      tree([first.replace("[]", `["${A.toUpperCase()}"]`)]),
      tree([first.replace("[]", `["${A}",]`)]),
      tree([first.replace("[]", `["${A}"`)]),
      tree([first.replace('"file"', '"socket"')]),
      tree([first.replace('"file"', '"dir"')]),
      tree([NODES[0]!.replace(`"${A}"`, "null")]),
      tree([first.replace('"uid":0,', '"uid":0,"xattr":1,')]),
      "",
      "{}",
    ]) {
      assert.equal(read(other), undefined, other);
    }
  });

  test("never differ from what the thorough reader finds, however the listing is changed", () => {
    let accepted = 0;
    const pieces = [...NODES, ...NODES.flatMap((node) => node.split(/(?<=[,:[\]{}"T.-])/))];
    const change = fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      cut: fc.integer({ min: 0, max: 40 }),
      with: fc.oneof(
        fc.constantFrom(...pieces, "", "0", "1", "9", ",", '"', "\\", "f", "g", "29", "31", "\xe9"),
        fc.uint8Array({ maxLength: 3 }).map((raw) => Buffer.from(raw).toString("latin1")),
      ),
    });
    const changes = fc.array(change, { maxLength: 3 });
    const property = fc.property(fc.subarray(NODES), changes, (nodes, edits) => {
      let text = tree(nodes);
      for (const { at, cut, with: piece } of edits) {
        const place = Math.floor(at * text.length);
        // Half of the changes keep the length, so that they hit single characters of values.
        const length = cut > 20 ? piece.length : cut;
        text = text.slice(0, place) + piece + text.slice(place + length);
      }
      const found = read(text);
      if (found === undefined) return;
      accepted++;
      assert.deepEqual(found, readThoroughly(text));
    });
    fc.assert(property, { numRuns: 30_000, seed: 5 });
    assert.ok(accepted > 3000, `${accepted}`);
  });

  test("more than there is memory for are left to the thorough reader", () => {
    const most = Math.floor(TREE_REFERENCES_BYTES / TREE_RECORD_BYTES);
    const large = (count: number): string =>
      tree([NODES[1]!.replace("[]", `[${Array(count).fill(`"${A}"`).join(",")}]`)]);
    assert.ok(large(most + 1).length < TREE_BYTES);
    assert.equal(read(large(most))?.length, most);
    assert.equal(read(large(most + 1)), undefined);
  });

  test("at the very end of the memory are left to the thorough reader", () => {
    const text = tree(NODES);
    assert.equal(read(text, kernels.bytes.length - text.length), undefined);
    assert.equal(read(text, kernels.bytes.length - text.length - 16)?.length, 5);
  });

  test("in memory of somebody else are left to the thorough reader", () => {
    assert.equal(references.read(Buffer.from(tree(NODES))), undefined);
  });
});
