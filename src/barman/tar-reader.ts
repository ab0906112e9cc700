// A tar that comes in pieces of any size, as the members and contents in it (docs/formats/barman.md#tars): those that
// PostgreSQL sends, that Barman writes (with PAX attributes) and that GNU tar writes (with long names). A tar that stops in
// the middle, or goes on behind its end, is damage. Paths are told as they stand there and are hostile: `memberParts`
// makes of one what may be opened.

import { asBuffer } from "../base/bytes.ts";
import {
  damagedTar,
  isTarEnd,
  readTarHeader,
  TAR_BLOCK,
  tarPadding,
  type TarHeader,
  type TarMember,
  type TarNote,
} from "./tar-header.ts";

export type { TarMember } from "./tar-header.ts";

export type TarEvent =
  | { readonly kind: "member"; readonly member: TarMember }
  /** A part of the last member's content: a view of what was read. */
  | { readonly kind: "content"; readonly bytes: Buffer }
  /** The last member's content is complete; follows every member. */
  | { readonly kind: "end"; readonly member: TarMember };

/** What was told of the member that follows. */
interface Said {
  path?: string;
  linkTarget?: string;
  size?: number;
}

/** No name or attribute is larger; what is, is no tar of a backup. */
const NOTE_MAX = 1 << 20;

/** Reads one tar. */
export class TarReader {
  readonly #source: string;
  readonly #isEndOptional: boolean;
  readonly #block: Buffer = Buffer.alloc(TAR_BLOCK);
  /** Bytes of the next header that have come. */
  #filled = 0;
  #member: TarMember | undefined;
  #note: { readonly kind: TarNote; readonly parts: Buffer[] } | undefined;
  /** Bytes of content and of padding that are still to come. */
  #content = 0;
  #padding = 0;
  #said: Said = {};
  #isOver = false;

  /**
   * `source` is what errors call this tar. With `endOptional` it may stop behind any member, as the tars that
   * PostgreSQL 13 and 14 send do.
   */
  constructor(source: string, { endOptional = false }: { readonly endOptional?: boolean } = {}) {
    this.#source = source;
    this.#isEndOptional = endOptional;
  }

  /** What `piece` holds, which follows those of the calls before. Take all of it before the next call. */
  *push(piece: Uint8Array): Generator<TarEvent, void> {
    const bytes = asBuffer(piece);
    let at = 0;
    while (at < bytes.length) {
      if (this.#content > 0) {
        const part = bytes.subarray(at, at + this.#content);
        this.#content -= part.length;
        at += part.length;
        if (this.#note === undefined) yield { kind: "content", bytes: part };
        else this.#note.parts.push(Buffer.from(part));
        if (this.#content === 0) yield* this.#finishMember();
      } else if (this.#padding > 0) {
        const skipped = Math.min(this.#padding, bytes.length - at);
        this.#padding -= skipped;
        at += skipped;
      } else {
        const copied = bytes.copy(this.#block, this.#filled, at);
        this.#filled += copied;
        at += copied;
        if (this.#filled === TAR_BLOCK) yield* this.#header();
      }
    }
  }

  /** To be called behind the last piece. Throws BACKUP_DAMAGED when the tar is not whole. */
  finish(): void {
    const isBetween =
      this.#filled === 0 &&
      this.#content === 0 &&
      this.#padding === 0 &&
      Object.keys(this.#said).length === 0;
    if (!isBetween || !(this.#isOver || this.#isEndOptional))
      throw damagedTar(this.#source, "the tar is cut off");
  }

  *#header(): Generator<TarEvent, void> {
    this.#filled = 0;
    if (isTarEnd(this.#block)) {
      this.#isOver = true;
      return;
    }
    if (this.#isOver) throw damagedTar(this.#source, "more follows behind the end of the tar");
    const header = readTarHeader(this.#block, this.#source);
    if (header.note !== undefined) {
      if (header.size > NOTE_MAX) throw damagedTar(this.#source, "a name has no end");
      this.#note = { kind: header.note, parts: [] };
      this.#content = header.size;
      this.#padding = tarPadding(header.size);
    } else {
      const member = this.#memberOf(header);
      this.#member = member;
      this.#content = member.size;
      this.#padding = tarPadding(member.size);
      yield { kind: "member", member };
    }
    if (this.#content === 0) yield* this.#finishMember();
  }

  #memberOf({ note: _, ...header }: TarHeader): TarMember {
    const { path = header.path, linkTarget = header.linkTarget, size = header.size } = this.#said;
    this.#said = {};
    return { ...header, path, linkTarget, size: header.type === "file" ? size : 0 };
  }

  *#finishMember(): Generator<TarEvent, void> {
    if (this.#note !== undefined) {
      this.#take(this.#note.kind, Buffer.concat(this.#note.parts));
      this.#note = undefined;
    } else if (this.#member !== undefined) {
      yield { kind: "end", member: this.#member };
      this.#member = undefined;
    }
  }

  #take(kind: TarNote, body: Buffer): void {
    const whole = body.toString("latin1");
    if (kind === "long-path") this.#said.path = whole.replace(/\0.*/s, "");
    else if (kind === "long-target") this.#said.linkTarget = whole.replace(/\0.*/s, "");
    // What is said of all members is a comment in practice: paths and sizes cannot be the same for all.
    else if (kind === "attributes") this.#attributes(whole);
  }

  /** PAX: records of "length key=value\n", where the length is that of the whole record. */
  #attributes(body: string): void {
    let at = 0;
    while (at < body.length) {
      const space = body.indexOf(" ", at);
      const length = Number(body.slice(at, space));
      const record = body.slice(space + 1, at + length - 1);
      const equals = record.indexOf("=");
      const isWhole = space > at && length > space - at + 2 && body[at + length - 1] === "\n";
      if (!isWhole || equals < 0)
        throw damagedTar(this.#source, "the attributes of a member do not add up");
      const [key, value] = [record.slice(0, equals), record.slice(equals + 1)];
      if (key === "path") this.#said.path = value;
      else if (key === "linkpath") this.#said.linkTarget = value;
      else if (key === "size") this.#said.size = this.#size(value);
      at += length;
    }
  }

  #size(text: string): number {
    const size = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (Number.isNaN(size)) throw damagedTar(this.#source, "a member has no size");
    return size;
  }
}

/**
 * The names on the way from the directory to a member, none for the directory itself. Throws BACKUP_DAMAGED, naming
 * `source`, for a path that leads anywhere else.
 */
export function memberParts(path: string, source: string): string[] {
  const parts = path.split("/").filter((part, i) => part !== "." && (part !== "" || i === 0));
  const isInside =
    path !== "" && !path.startsWith("/") && parts.every((part) => part !== ".." && part !== "");
  if (isInside && !path.includes("\0")) return parts;
  throw damagedTar(
    source,
    `the path ${JSON.stringify(path.slice(0, 200))} leads out of the directory`,
  );
}
