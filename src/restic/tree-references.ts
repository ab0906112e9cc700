// What a directory listing refers to, without a node for each entry: for walks over all listings of a repository, of which
// successive snapshots have one for each directory in which anything changed.

import { asBuffer } from "../base/bytes.ts";
import { TREE_RECORD_BYTES } from "./kernels.ts";
import type { Kernels } from "./kernels.ts";

/** Kernel memory for the references of one listing. */
export const TREE_REFERENCES_BYTES: number = 1 << 19;
/** So many bytes behind a listing may be looked at. */
const READ_BEHIND = 16;
const MAX: number = Math.floor(TREE_REFERENCES_BYTES / TREE_RECORD_BYTES);

export class TreeReferences {
  /** Where the ids are. */
  readonly bytes: Uint8Array;
  readonly #kernels: Kernels;
  readonly #view: Buffer;
  readonly #at: number;

  /** `at`: where TREE_REFERENCES_BYTES of kernel memory are ours. */
  constructor(kernels: Kernels, at: number) {
    this.#kernels = kernels;
    this.bytes = kernels.bytes;
    this.#view = asBuffer(kernels.bytes);
    this.#at = at;
  }

  /**
   * Reads the listing `plain`, which lies in kernel memory, and proves that iterateTree would find nothing wrong with it. The
   * number of references, in their order, or undefined for a listing that iterateTree must read. They stand until the next call.
   */
  read(plain: Uint8Array): number | undefined {
    if (plain.buffer !== this.bytes.buffer) return undefined;
    if (plain.byteOffset + plain.length + READ_BEHIND > this.bytes.length) return undefined;
    const count = this.#kernels.scanTree(plain.byteOffset, plain.length, this.#at, MAX);
    return count < 0 ? undefined : count;
  }

  /** Whether a reference is to a listing; if not, it is to a blob of data. */
  isTree(reference: number): boolean {
    return this.#view.readUInt32LE(this.#at + reference * TREE_RECORD_BYTES) === 1;
  }

  /** Where in `bytes` the id of a reference is. */
  idAt(reference: number): number {
    return this.#at + reference * TREE_RECORD_BYTES + 4;
  }
}
