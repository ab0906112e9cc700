// The WASM kernels of the hot path: Poly1305, restic's chunker, the compressibility test, the mixing of scrypt,
// the references of a directory listing (docs/decisions/kernels.md). Each worker creates its own; the memory is shared so that another thread
// may look at it, the functions are called by one thread only. Sources in kernels/, compiled by
// scripts/build-kernels.ts. What a kernel computes, poly1305.ts and chunker.ts compute in plain TypeScript.

import { HoldfastError } from "../base/errors.ts";
import { KERNELS_WASM } from "./kernels-wasm.ts";

/** The part of the WebAssembly API used here; the types of Node do not declare it. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Memory: new (limits: { initial: number; maximum: number; shared: true }) => KernelMemory;
  Instance: new (module: object, imports: object) => { readonly exports: object };
};

/** A shared WebAssembly memory of fixed size. */
export interface KernelMemory {
  readonly buffer: SharedArrayBuffer;
}

/**
 * Pointers are byte offsets into `bytes`. An access beyond the end of the memory throws a
 * WebAssembly.RuntimeError, nothing else about pointers is checked.
 */
export interface Kernels {
  readonly memory: KernelMemory;
  /** The whole memory. Never write below `base`. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  /** First byte the caller may lay out, a multiple of 4096. */
  readonly base: number;
  /**
   * Writes the 16-byte Poly1305 tag (RFC 8439) of `length` bytes at `message` to `tag`. `key` points to
   * r ‖ s, 32 bytes; r may be raw. Any alignment; `tag` must not overlap message or key.
   */
  poly1305(message: number, length: number, key: number, tag: number): void;
  /** Prepares findCut for an irreducible polynomial of degree 53. */
  initChunker(polynomial: bigint): void;
  /**
   * Length of the chunk that begins at `start`, or -1 when its end is not among the `available` bytes (the
   * end of the file then ends it). `scanned` bytes are known to hold no cut from an earlier call; the last
   * 64 of them must still be in place.
   */
  findCut(start: number, scanned: number, available: number): number;
  /** True when compressing these bytes is surely not worth the time; see docs/decisions/kernels.md. */
  looksIncompressible(pointer: number, length: number): boolean;
  /**
   * scryptROMix (RFC 7914 §5) of two blocks of `length` = 128·r bytes that follow each other at `blocks`, in place. `n` is the
   * cost, a power of two. romixBytes(n, length) bytes at `memory` are overwritten.
   */
  romixPair(blocks: number, memory: number, n: number, length: number): void;
  /**
   * What the directory listing of `length` bytes at `tree` refers to, as records of TREE_RECORD_BYTES at `out`, `max` of them at most.
   * How many, or -1 when the listing is not in the plain form that restic mostly writes, or refers to more.
   */
  scanTree(tree: number, length: number, out: number, max: number): number;
}

/** A record of scanTree: 0 for a blob of data or 1 for a listing, 32 bits, and an id. */
export const TREE_RECORD_BYTES = 36;

/** Bytes of memory that romixPair needs. */
export function romixBytes(n: number, length: number): number {
  return (n + 7) * length;
}

interface KernelExports {
  readonly heapBase: { readonly value: number };
  readonly poly1305: Kernels["poly1305"];
  readonly initChunker: Kernels["initChunker"];
  readonly findCut: Kernels["findCut"];
  readonly looksIncompressible: (pointer: number, length: number) => number;
  readonly romixPair: Kernels["romixPair"];
  readonly scanTree: Kernels["scanTree"];
}

const PAGE_BYTES = 65536;

/** What the kernels keep for themselves at the bottom of the memory; the module says the same. */
const STATIC_BYTES = 16384;

let compiled: object | undefined;

/**
 * New kernels over a new memory that never grows, with at least `bytes` free bytes from `base` on. The module is
 * compiled once per thread. Throws RangeError when the memory cannot be reserved.
 */
export function createKernels(options: { bytes: number }): Kernels {
  compiled ??= new WebAssembly.Module(Buffer.from(KERNELS_WASM, "base64"));
  const pages = Math.ceil((STATIC_BYTES + options.bytes) / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const instance = new WebAssembly.Instance(compiled, { env: { memory } });
  const exports = instance.exports as KernelExports;
  if (exports.heapBase.value !== STATIC_BYTES) {
    throw new HoldfastError("BUG", "kernels.ts and the kernels disagree about their static area");
  }
  let chunkerReady = false;
  return {
    memory,
    bytes: new Uint8Array(memory.buffer),
    base: STATIC_BYTES,
    poly1305: (message, length, key, tag) => exports.poly1305(message, length, key, tag),
    initChunker(polynomial) {
      if (polynomial >> 53n !== 1n) throw new RangeError("the polynomial's degree is not 53");
      exports.initChunker(polynomial);
      chunkerReady = true;
    },
    findCut(start, scanned, available) {
      if (!chunkerReady) throw new HoldfastError("BUG", "findCut before initChunker");
      return exports.findCut(start, scanned, available);
    },
    looksIncompressible: (pointer, length) => exports.looksIncompressible(pointer, length) === 1,
    romixPair: (blocks, at, n, length) => exports.romixPair(blocks, at, n, length),
    scanTree: (tree, length, out, max) => exports.scanTree(tree, length, out, max),
  };
}
