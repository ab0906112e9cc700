// When each pack was last read and proved, kept between runs in a local file, so that checks with a small budget get round a
// large repository in the end. The file is a memory, nothing more: without it every pack counts as never read.
//
// Form: a line of text, then for each pack its id (32 bytes) and the time in seconds (u32le).
// Must never: make a check fail, or a pack count as proved that was not read to its end.

import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { ID_BYTES, fromHex, toHex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";

const HEAD = Buffer.from("holdfast verified packs 1\n");
const RECORD_BYTES = ID_BYTES + 4;

/** Times of packs, in milliseconds since 1970. */
export class VerifiedPacks {
  readonly #path: string;
  readonly #seconds: Map<Id, number>;
  #changed = false;

  constructor(path: string, seconds: Map<Id, number> = new Map()) {
    this.#path = path;
    this.#seconds = seconds;
  }

  /** What the file at `path` remembers; nothing when it is not there or damaged. */
  static async load(path: string): Promise<VerifiedPacks> {
    const bytes = await readFile(path).catch(() => undefined);
    const seconds = new Map<Id, number>();
    const isWhole =
      bytes !== undefined &&
      bytes.subarray(0, HEAD.length).equals(HEAD) &&
      (bytes.length - HEAD.length) % RECORD_BYTES === 0;
    if (isWhole) {
      for (let at = HEAD.length; at < bytes.length; at += RECORD_BYTES) {
        const id = toHex(bytes.subarray(at, at + ID_BYTES));
        seconds.set(id, bytes.readUInt32LE(at + ID_BYTES));
      }
    }
    return new VerifiedPacks(path, seconds);
  }

  /** When a pack was proved last; undefined when it never was. */
  at(pack: Id): number | undefined {
    const seconds = this.#seconds.get(pack);
    return seconds === undefined ? undefined : seconds * 1000;
  }

  /** A pack was read and is sound. */
  prove(pack: Id, now: number): void {
    this.#seconds.set(pack, Math.floor(now / 1000));
    this.#changed = true;
  }

  /** What was proved once is not so any more. */
  doubt(pack: Id): void {
    this.#changed = this.#seconds.delete(pack) || this.#changed;
  }

  /** Forgets packs that the repository no longer has. */
  keepOnly(packs: ReadonlySet<Id>): void {
    for (const id of this.#seconds.keys()) if (!packs.has(id)) this.doubt(id);
  }

  /** Writes the file, if anything changed; false when that cannot be. */
  async save(): Promise<boolean> {
    if (!this.#changed) return true;
    const bytes = Buffer.alloc(HEAD.length + this.#seconds.size * RECORD_BYTES);
    HEAD.copy(bytes);
    let at = HEAD.length;
    for (const [id, seconds] of this.#seconds) {
      bytes.set(fromHex(id), at);
      at = bytes.writeUInt32LE(seconds, at + ID_BYTES);
    }
    const temporary = `${this.#path}-tmp-${process.pid}`;
    try {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      await writeFile(temporary, bytes, { mode: 0o600 });
      await rename(temporary, this.#path);
      return true;
    } catch {
      return false;
    }
  }
}
