// Which copies of a file there are, in little memory: a copy is the places of its blobs in the index of its repository, and
// where it was found. Copies of the same content in many snapshots are one, that of the newest.

import { Growing } from "./growing.ts";

/** A copy as it is kept. */
export interface StoredCopy {
  /** Number of the repository. */
  readonly source: number;
  /** Number of the snapshot in it. */
  readonly snapshot: number;
  /** Places of the blobs in the repository's index. */
  readonly entries: readonly number[];
}

export class Copies {
  /** Of each name the number of its first copy plus one; 0 is none. */
  readonly #first = new Growing();
  /** Of each copy that of the next one of its name plus one; 0 is none. */
  readonly #next = new Growing();
  readonly #source = new Growing();
  readonly #snapshot = new Growing();
  /** Where the entries of each copy begin; they end where those of the next one begin. */
  readonly #begin = new Growing();
  readonly #entries = new Growing();

  /** True when the name has a copy. */
  has(name: number): boolean {
    return name < this.#first.count && this.#first.at(name) !== 0;
  }

  /** Adds a copy behind those that the name has, unless the same blobs are there already; true when it was added. */
  add(name: number, copy: StoredCopy): boolean {
    let last = -1;
    for (let at = this.#firstOf(name); at !== -1; at = this.#next.at(at) - 1) {
      if (this.#isSame(at, copy)) return false;
      last = at;
    }
    const number = this.#source.push(copy.source);
    this.#snapshot.push(copy.snapshot);
    this.#begin.push(this.#entries.count);
    this.#next.push(0);
    for (const entry of copy.entries) this.#entries.push(entry);
    if (last === -1) this.#first.set(name, number + 1);
    else this.#next.set(last, number + 1);
    return true;
  }

  /** The copies of a name, those that were added first come first. */
  of(name: number): StoredCopy[] {
    const copies: StoredCopy[] = [];
    for (let at = this.#firstOf(name); at !== -1; at = this.#next.at(at) - 1)
      copies.push(this.#copyAt(at));
    return copies;
  }

  /** The copy of a name that was added first. */
  first(name: number): StoredCopy | undefined {
    const at = this.#firstOf(name);
    return at === -1 ? undefined : this.#copyAt(at);
  }

  #copyAt(at: number): StoredCopy {
    const entries: number[] = [];
    const [begin, end] = this.#range(at);
    for (let place = begin; place < end; place++) entries.push(this.#entries.at(place));
    return { source: this.#source.at(at), snapshot: this.#snapshot.at(at), entries };
  }

  #firstOf(name: number): number {
    return name < this.#first.count ? this.#first.at(name) - 1 : -1;
  }

  #range(copy: number): [begin: number, end: number] {
    const end = copy + 1 < this.#begin.count ? this.#begin.at(copy + 1) : this.#entries.count;
    return [this.#begin.at(copy), end];
  }

  #isSame(at: number, { source, entries }: StoredCopy): boolean {
    const [begin, end] = this.#range(at);
    return (
      this.#source.at(at) === source &&
      end - begin === entries.length &&
      entries.every((entry, i) => this.#entries.at(begin + i) === entry)
    );
  }
}
