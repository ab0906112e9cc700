// Trees against real restic: what it writes for a directory of odd entries is read, and encoded again, and made anew
// from the directory, byte by byte the same (docs/formats/restic.md#trees).

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { sha256Hex } from "../../src/base/bytes.ts";
import { toGoMode } from "../../src/restic/file-mode.ts";
import { formatTimeParts } from "../../src/restic/go-time.ts";
import { decodeSnapshot, encodeSnapshot } from "../../src/restic/snapshot.ts";
import { decodeTree, encodeTree } from "../../src/restic/tree.ts";
import { createNode } from "../../src/restic/tree-node.ts";
import type { NodeType, TreeNode } from "../../src/restic/tree-node.ts";
import { peer } from "../peers.ts";

const text = (value: string): string => Buffer.from(value).toString("latin1");

/** Byte strings. */
const NAMES: readonly string[] = [
  "\x01\x02",
  "\xff\xfe",
  "bell\x07back\bform\ftab\tline\nreturn\rvertical\v",
  "caf\xe9",
  "del\x7f",
  "half a rune \xe2\x82",
  "surrogate \xed\xa0\x80",
  "plain.txt",
  "two  spaces ",
  '"quoted" \\back\\',
  "\\xff \\ufffd \\u00e9 \\\\",
  "<script>&amp;'",
  text("café"),
  text("nbsp\u00a0soft\u00adhyphen"),
  text("line\u2028paragraph\u2029"),
  text("private \ue000"),
  text("replacement \ufffd"),
  text("last of the plane \uffee"),
  text("beyond the plane \u{1f600}"),
  text("newer than Unicode 13 \u{1fae8}"),
  text("newer than Unicode 15 \u{1faea}"),
  text("\ufb01 before \u{10000} in bytes"),
  text("\u{10000}"),
  text("\uffee"),
  text("日本語"),
  "x".repeat(255),
];

const LINK_TARGETS: readonly string[] = [
  "plain.txt",
  "/absolute/<&>",
  "\xff\xfe/not utf-8",
  text("..\u2028\ufffd\u{1f600}"),
  "tab\tline\nback\bform\f\x01\x7f",
];

function path(folder: string, name: string): Buffer {
  return Buffer.from(`${folder}/${name}`, "latin1");
}

function fill(folder: string): void {
  for (const [index, name] of NAMES.entries()) {
    writeFileSync(path(folder, name), index % 2 === 0 ? "" : `content ${index}`);
    lutimesSync(path(folder, name), 0, [0, -1.5, 1e9 + 0.25, 4e9, 1.7e9 + 0.123456][index % 5]!);
  }
  for (const [index, target] of LINK_TARGETS.entries()) {
    symlinkSync(Buffer.from(target, "latin1"), path(folder, `link ${index}`));
  }
  mkdirSync(path(folder, "empty directory"));
  chmodSync(path(folder, "empty directory"), 0o3770);
  chmodSync(path(folder, "plain.txt"), 0o6755);
  linkSync(path(folder, "plain.txt"), path(folder, "second name"));
  execFileSync("mkfifo", [join(folder, "fifo")]);
}

const TYPES: Readonly<Record<number, NodeType>> = {
  0o100000: "file",
  0o040000: "dir",
  0o120000: "symlink",
  0o010000: "fifo",
};

/** The node of a directory entry as lstat tells it; what it refers to is taken from `known`. */
function nodeOf(folder: string, known: TreeNode): TreeNode {
  const at = path(folder, known.name);
  const stat = lstatSync(at, { bigint: true });
  const type = TYPES[Number(stat.mode) & 0o170000]!;
  const time = (ns: bigint): string => {
    const rest = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
    return formatTimeParts(Number((ns - rest) / 1_000_000_000n), Number(rest));
  };
  return createNode({
    name: known.name,
    type,
    mode: toGoMode(Number(stat.mode)),
    mtime: time(stat.mtimeNs),
    atime: time(stat.mtimeNs),
    ctime: time(stat.ctimeNs),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    user: known.user,
    group: known.group,
    inode: Number(stat.ino),
    deviceId: known.deviceId === 0 ? 0 : Number(stat.dev),
    size: type === "file" ? Number(stat.size) : 0,
    links: type === "file" || type === "symlink" ? Number(stat.nlink) : 0,
    linkTarget: type === "symlink" ? readlinkSync(at, "latin1") : "",
    content: known.content,
    subtree: known.subtree,
  });
}

for (const name of ["restic-oldest", "restic-newest"] as const) {
  const restic = peer(name);
  test(`trees are the bytes that ${name} writes`, { skip: restic.skip }, (t) => {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-tree-bytes-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const source = join(folder, "source");
    mkdirSync(source);
    fill(source);
    const environment = {
      PATH: process.env["PATH"],
      TZ: "UTC",
      RESTIC_REPOSITORY: join(folder, "repository"),
      RESTIC_PASSWORD: "secret",
      RESTIC_CACHE_DIR: join(folder, "cache"),
    };
    const run = (...args: string[]): Buffer =>
      execFileSync(restic.path, args, { cwd: source, env: environment, stdio: "pipe" });
    run("init");
    run("backup", "--tag", "a<b>&c,ä", ".");

    const [snapshotId = ""] = readdirSync(join(folder, "repository", "snapshots"));
    const snapshot = decodeSnapshot(run("cat", "snapshot", snapshotId));
    const tree = run("cat", "blob", snapshot.tree);
    assert.equal(sha256Hex(tree), snapshot.tree);
    const nodes = decodeTree(tree);

    const byBytes = (a: string, b: string): number => (a < b ? -1 : 1);
    const names = readdirSync(source, { encoding: "latin1" }).sort(byBytes);
    assert.deepEqual(
      nodes.map((node) => node.name),
      names,
    );
    assert.equal(encodeTree(nodes).toString("latin1"), tree.toString("latin1"));
    const made = encodeTree(nodes.map((node) => nodeOf(source, node)));
    if (name === "restic-newest") assert.equal(made.toString("latin1"), tree.toString("latin1"));
    assert.deepEqual(decodeSnapshot(encodeSnapshot(snapshot)), snapshot);
    assert.deepEqual(snapshot.tags, ["a<b>&c", "ä"]);
  });
}
