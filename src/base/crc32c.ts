// CRC-32C, by which Cloud Storage judges an upload (MD5, which it takes as well, costs three times as much:
// docs/decisions/storage.md#gcs), Cloud KMS a wrapped key, and PostgreSQL the files of a backup. A WASM kernel, since Node has
// none. Source: kernels/crc32c.ts. Its plain twin is in the tests.

import { HoldfastError } from "./errors.ts";
import { CRC32C_WASM } from "./crc32c-wasm.ts";

/** The part of the WebAssembly API used here; the types of Node do not declare it. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Memory: new (limits: { initial: number; maximum: number; shared: true }) => {
    readonly buffer: SharedArrayBuffer;
  };
  Instance: new (module: object, imports: object) => { readonly exports: object };
};

interface Exports {
  readonly heapBase: { readonly value: number };
  initCrc32c(): void;
  crc32c(crc: number, pointer: number, length: number): number;
}

const PAGE_BYTES = 65_536;
const BASE = 0x8000;
/** Content passes through the kernel's memory in pieces that stay in the processor's cache. */
const PIECE_BYTES = 2 * PAGE_BYTES - BASE;

interface Kernel {
  readonly memory: Uint8Array;
  readonly crc32c: Exports["crc32c"];
}

let kernel: Kernel | undefined;

function loadKernel(): Kernel {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true });
  const module = new WebAssembly.Module(Buffer.from(CRC32C_WASM, "base64"));
  const exports = new WebAssembly.Instance(module, { env: { memory } }).exports as Exports;
  if (exports.heapBase.value !== BASE) {
    throw new HoldfastError("BUG", "crc32c.ts and its kernel disagree about their memory");
  }
  exports.initCrc32c();
  return {
    memory: new Uint8Array(memory.buffer),
    crc32c: (crc, pointer, length) => exports.crc32c(crc, pointer, length),
  };
}

/** Continues `crc` (0 at the beginning) over `bytes`; a number below 2^32. */
export function crc32c(bytes: Uint8Array, crc = 0): number {
  kernel ??= loadKernel();
  let value = crc;
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    const piece = bytes.subarray(at, at + PIECE_BYTES);
    kernel.memory.set(piece, BASE);
    value = kernel.crc32c(value, BASE, piece.length);
  }
  return value >>> 0;
}

/** A CRC-32C as Google's services write it: base64 of the big-endian number. */
export function crc32cText(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes.toString("base64");
}
