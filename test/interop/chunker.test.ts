// The chunker against real restic: files of every kind are backed up by it, and our cuts must give the same blobs, in
// the same order, under the polynomial that restic chose (docs/formats/restic.md#chunker).

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { sha256Hex } from "../../src/base/bytes.ts";
import { CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, cutPoints } from "../../src/restic/chunker.ts";
import { createKernels } from "../../src/restic/kernels.ts";
import { formatPolynomial, parsePolynomial } from "../../src/restic/polynomial.ts";
import { peer } from "../peers.ts";
import { seededBytes } from "../seeded-bytes.ts";

const MEBIBYTE = 1024 * 1024;

const text = Array.from(
  { length: 160_000 },
  (_, line) => `${line}: ${line * line} is its square\n`,
);

const FILES: Readonly<Record<string, Uint8Array>> = {
  random: seededBytes("chunks of restic", 26 * MEBIBYTE + 12_345),
  zeros: Buffer.alloc(5 * MEBIBYTE + 1),
  constant: Buffer.alloc(2 * CHUNK_BYTES_MAX + 77, 1),
  text: Buffer.from(text.join("")),
  records: Buffer.alloc(9 * MEBIBYTE, seededBytes("record", 4001)),
  "zeros inside": Buffer.concat([
    seededBytes("before", 700_000),
    Buffer.alloc(3 * MEBIBYTE),
    seededBytes("after", 4 * MEBIBYTE),
  ]),
  "least chunk": seededBytes("least", CHUNK_BYTES_MIN),
  "least chunk and a byte": Buffer.alloc(CHUNK_BYTES_MIN + 1),
  byte: Buffer.from("x"),
  empty: Buffer.alloc(0),
};

interface ResticNode {
  readonly name: string;
  readonly content: readonly string[];
}

/** What restic makes of FILES in a repository of its own: its polynomial, and each file's blob ids. */
function backUpWithRestic(restic: string): { polynomial: string; nodes: readonly ResticNode[] } {
  const folder = mkdtempSync(join(tmpdir(), "chunker-"));
  try {
    const source = join(folder, "source");
    mkdirSync(source);
    for (const [name, data] of Object.entries(FILES)) writeFileSync(join(source, name), data);
    const run = (...args: string[]): string =>
      execFileSync(restic, ["--repo", join(folder, "repository"), "--no-cache", ...args], {
        cwd: source,
        encoding: "utf8",
        env: { ...process.env, RESTIC_PASSWORD: "password" },
        maxBuffer: 64 * MEBIBYTE,
        stdio: ["ignore", "pipe", "pipe"],
      });
    run("init");
    run("backup", "--quiet", ".");
    const config = JSON.parse(run("cat", "config")) as { chunker_polynomial: string };
    const [snapshot] = JSON.parse(run("snapshots", "--json")) as { tree: string }[];
    assert.ok(snapshot);
    const tree = JSON.parse(run("cat", "blob", snapshot.tree)) as { nodes: ResticNode[] };
    return { polynomial: config.chunker_polynomial, nodes: tree.nodes };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Blob ids of the chunks of `data` that end at `cuts`. */
function blobIds(data: Uint8Array, cuts: readonly number[]): string[] {
  return cuts.map((end, i) => sha256Hex(data.subarray(i === 0 ? 0 : cuts[i - 1], end)));
}

/** Chunk ends as the backup finds them: by the kernel, a piece of the file at a time. */
function cutByKernel(data: Uint8Array, polynomial: bigint): number[] {
  const kernels = createKernels({ bytes: data.length });
  kernels.initChunker(polynomial);
  kernels.bytes.set(data, kernels.base);
  const cuts: number[] = [];
  let start = 0;
  for (let end = 0; end < data.length;) {
    const scanned = Math.max(0, end - start);
    end = Math.min(end + 300_000, data.length);
    for (let from = scanned; ; from = 0) {
      const cut = kernels.findCut(kernels.base + start, from, end - start);
      if (cut < 0) break;
      start += cut;
      cuts.push(start);
    }
  }
  if (start < data.length) cuts.push(data.length);
  return cuts;
}

for (const name of ["restic-oldest", "restic-newest"] as const) {
  test(`files are cut where ${name} cuts them`, { skip: peer(name).skip }, () => {
    const { polynomial, nodes } = backUpWithRestic(peer(name).path);
    const parsed = parsePolynomial(polynomial);
    assert.equal(formatPolynomial(parsed), polynomial);
    assert.deepEqual(nodes.map((node) => node.name).toSorted(), Object.keys(FILES).toSorted());
    for (const node of nodes) {
      const data = FILES[node.name] ?? Buffer.alloc(0);
      assert.deepEqual(blobIds(data, cutPoints(data, parsed)), node.content, `${node.name}, plain`);
      assert.deepEqual(
        blobIds(data, cutByKernel(data, parsed)),
        node.content,
        `${node.name}, kernel`,
      );
    }
  });
}
