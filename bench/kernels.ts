// `node bench/kernels.ts`: how fast the WASM kernels are in one thread, beside their plain twins and what Node itself
// brings for a blob. Thread CPU time, so that a busy machine disturbs little; best of 5 rounds of at least 0.2 s each,
// because the kernel counts CPU time in ticks of 4 ms.

import { createCipheriv, createHash } from "node:crypto";
import { chunkerTables, findCut } from "../src/restic/chunker.ts";
import { createKernels } from "../src/restic/kernels.ts";
import { poly1305 } from "../src/restic/poly1305.ts";

const MEBIBYTE = 1024 * 1024;
const TOTAL = 16 * MEBIBYTE;
const ROUNDS = 5;
const ROUND_MICROSECONDS = 200_000;
const POLYNOMIAL = 0x3da3358b4dc173n;
const SIZES = [8192, 32_768, MEBIBYTE];

const kernels = createKernels({ bytes: TOTAL + 2 * MEBIBYTE });
const key = kernels.base;
const tag = kernels.base + 64;
const data = kernels.base + MEBIBYTE + 8192;
const content = kernels.bytes.subarray(data, data + TOTAL);
const keyBytes = Buffer.alloc(32, 0x5a);
// The plain twins see ordinary memory, as on the paths that use them.
const plainContent = createCipheriv("aes-256-ctr", keyBytes, Buffer.alloc(16)).update(
  Buffer.alloc(TOTAL),
);
content.set(plainContent);
kernels.bytes.set(keyBytes, key);
kernels.initChunker(POLYNOMIAL);

/** GB/s of `work`, which handles `bytes` bytes a call. */
function speed(bytes: number, work: () => void): number {
  work();
  let best = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const begun = process.threadCpuUsage();
    let spent = 0;
    let calls = 0;
    while (spent < ROUND_MICROSECONDS) {
      work();
      calls++;
      const { user, system } = process.threadCpuUsage(begun);
      spent = user + system;
    }
    best = Math.max(best, (calls * bytes) / spent / 1000);
  }
  return best;
}

/** Calls `each` for every piece of `size` bytes. */
function pieces(size: number, each: (offset: number) => void): () => void {
  return () => {
    for (let offset = 0; offset < TOTAL; offset += size) each(offset);
  };
}

type Row = (size: number) => () => void;

const ROWS: Readonly<Record<string, Row>> = {
  "Poly1305 kernel": (size) =>
    pieces(size, (offset) => kernels.poly1305(data + offset, size, key, tag)),
  "Poly1305 plain": (size) =>
    pieces(size, (offset) => poly1305(keyBytes, plainContent.subarray(offset, offset + size))),
  "compressibility kernel, random": (size) =>
    pieces(size, (offset) => kernels.looksIncompressible(data + offset, size)),
  "SHA-256 of Node": (size) =>
    pieces(size, (offset) => {
      createHash("sha256")
        .update(plainContent.subarray(offset, offset + size))
        .digest();
    }),
};

/** Bytes of whole chunks in the content, and what cuts it into them. */
function cutting(find: (start: number) => number): [number, () => void] {
  const cutAll = (): number => {
    let start = 0;
    for (let cut = find(0); cut > 0; cut = find(start)) start += cut;
    return start;
  };
  return [cutAll(), () => void cutAll()];
}

const tables = chunkerTables(POLYNOMIAL);
const chunkers = {
  "chunker kernel": cutting((start) => kernels.findCut(data + start, 0, TOTAL - start)),
  "chunker plain": cutting((start) => findCut(tables, plainContent, { start, scanned: 0 })),
};

const results: Record<string, Record<string, string>> = {};
for (const [name, [bytes, work]] of Object.entries(chunkers)) {
  results[name] = { "whole file": speed(bytes, work).toFixed(2) };
}
for (const [name, row] of Object.entries(ROWS)) {
  const columns: [string, string][] = SIZES.map((size) => [
    `${size / 1024} KiB`,
    speed(TOTAL, row(size)).toFixed(2),
  ]);
  results[name] = Object.fromEntries(columns);
}
console.log("GB/s of one thread");
console.table(results);
