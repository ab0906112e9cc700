// The content of one index file in typed arrays, while it is being read (docs/formats/restic.md#index).

import { ID_BYTES } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";

/** Blobs of all packs one after the other. */
export class IndexEntries {
  /** Packs in the order of the file; `end` is the index after the pack's last blob. */
  readonly packs: { readonly id: Id; readonly end: number }[] = [];
  count = 0;
  readonly ids: Uint8Array;
  /** 0 data, 1 tree. */
  readonly types: Uint8Array;
  readonly offsets: Uint32Array;
  readonly lengths: Uint32Array;
  readonly uncompressedLengths: Uint32Array;

  constructor(capacity: number) {
    this.ids = new Uint8Array(capacity * ID_BYTES);
    this.types = new Uint8Array(capacity);
    this.offsets = new Uint32Array(capacity);
    this.lengths = new Uint32Array(capacity);
    this.uncompressedLengths = new Uint32Array(capacity);
  }

  /** All blobs since the last pack belong to pack `id`. */
  endPack(id: Id): void {
    this.packs.push({ id, end: this.count });
  }

  /** Gives the memory back at once; nothing can be read afterwards. */
  release(): void {
    const { ids, types, offsets, lengths, uncompressedLengths } = this;
    for (const { buffer } of [ids, types, offsets, lengths, uncompressedLengths]) {
      (buffer as ArrayBuffer).transfer(0);
    }
  }

  copyId(blob: number, into: Uint8Array): void {
    const from = blob * ID_BYTES;
    for (let i = 0; i < ID_BYTES; i++) into[i] = this.ids[from + i]!;
  }

  /** Puts the blobs of each pack in ascending offsets: old files have them in any order. */
  sortByOffset(): void {
    let start = 0;
    for (const { end } of this.packs) {
      if (!this.#isSorted(start, end)) this.#sort(start, end);
      start = end;
    }
  }

  #isSorted(start: number, end: number): boolean {
    for (let i = start + 1; i < end; i++) {
      if (this.offsets[i]! < this.offsets[i - 1]!) return false;
    }
    return true;
  }

  #sort(start: number, end: number): void {
    const order = Array.from({ length: end - start }, (_, i) => start + i);
    order.sort((a, b) => this.offsets[a]! - this.offsets[b]!);
    const ids = this.ids.slice(start * ID_BYTES, end * ID_BYTES);
    const columns = [this.types, this.offsets, this.lengths, this.uncompressedLengths];
    for (const column of columns) {
      const copy = column.slice(start, end);
      order.forEach((from, i) => (column[start + i] = copy[from - start]!));
    }
    order.forEach((from, i) => {
      const at = (from - start) * ID_BYTES;
      this.ids.set(ids.subarray(at, at + ID_BYTES), (start + i) * ID_BYTES);
    });
  }
}
