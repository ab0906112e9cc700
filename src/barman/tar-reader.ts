// A tar that comes in pieces of any size, as the entries and contents in it (docs/formats/barman.md#tars): those that
// PostgreSQL sends, that Barman writes (with PAX attributes) and that GNU tar writes (with long names). A tar that stops in
// the middle is damage. Names are told as they stand there: whoever makes paths of them judges them.

import { damagedTar, isTarEnd, readTarHeader, TAR_BLOCK, tarPadding, withoutSlash } from "./tar-header.ts";
import type { TarEntry, TarHeader } from "./tar-header.ts";

export type TarPiece =
  | { readonly kind: "entry"; readonly entry: TarEntry }
  /** A part of the last entry's content, a view of what was read. */
  | { readonly kind: "content"; readonly bytes: Buffer }
  /** The last entry's content is complete; follows every entry. */
  | { readonly kind: "end"; readonly entry: TarEntry };

/** No name or attribute is larger; what is, is no tar of a backup. */
const NOTE_MAX = 1 << 20;

/** Reads one tar. */
export class TarReader {
  readonly #source: string;
  /** The beginning of a header of which the rest has not come. */
  readonly #block: Buffer = Buffer.alloc(TAR_BLOCK);
  #filled = 0;
  #entry: TarEntry | undefined;
  /** Bytes of content and of padding that are still to come. */
  #content = 0;
  #padding = 0;
  #note: { readonly header: TarHeader; readonly parts: Buffer[] } | undefined;
  #notes: Notes = {};
  #isOver = false;

  /** `source` is what errors call this tar. */
  constructor(source: string) {
    this.#source = source;
  }

  /** What `bytes`, which follow those of the calls before, hold. Take all of it before the next call. */
  *read(bytes: Buffer): Generator<TarPiece, void> {
    let at = 0;
    while (at < bytes.length && !this.#isOver) {
      if (this.#content > 0) {
        const part = bytes.subarray(at, at + this.#content);
        this.#content -= part.length;
        at += part.length;
        if (this.#note !== undefined) this.#note.parts.push(Buffer.from(part));
        else yield { kind: "content", bytes: part };
        if (this.#content === 0) yield* this.#endEntry();
      } else if (this.#padding > 0) {
        const skipped = Math.min(this.#padding, bytes.length - at);
        this.#padding -= skipped;
        at += skipped;
      } else {
        at += bytes.copy(this.#block, this.#filled, at, at + TAR_BLOCK - this.#filled);
        this.#filled = Math.min(TAR_BLOCK, this.#filled + bytes.length - (at - this.#copied(at, bytes)));
        if (this.#filled === TAR_BLOCK) yield* this.#header();
      }
    }
  }

  /** To be called behind the last piece. Throws BACKUP_DAMAGED when the tar is not whole. */
  finish(): void {
    if (this.#isOver) return;
    const isBetween = this.#filled === 0 && this.#content === 0 && this.#padding === 0;
    // PostgreSQL 13 and 14 send no end.
    if (!isBetween || this.#note !== undefined || Object.keys(this.#notes).length > 0)
      throw damagedTar(this.#source, "the tar is cut off");
  }
}
