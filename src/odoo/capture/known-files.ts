// The names whose content is in the pool, as far as capture knows: proved against their SHA-1 when they were captured, or listed by
// a full snapshot with a size. What rows say about the size of a listed one may cast doubt on it: then it is read again.

import { Sha1Set } from "../sha1-set.ts";

/** Size of what was proved: no row can cast doubt on it. */
const PROVED = -1;

export class KnownFiles {
  readonly #names = new Sha1Set(1000);
  /** By number of the name; what lies behind the end is proved. */
  #sizes = new Float64Array(1000).fill(PROVED);
  readonly #doubted = new Set<string>();

  get size(): number {
    return this.#names.size - this.#doubted.size;
  }

  has(sha1: string): boolean {
    return this.#names.has(sha1) && !(this.#doubted.size > 0 && this.#doubted.has(sha1));
  }

  /** Adds a name whose content was proved. */
  add(sha1: string): void {
    const number = this.#names.add(sha1);
    if (number < this.#sizes.length) this.#sizes[number] = PROVED;
    this.#doubted.delete(sha1);
  }

  /** Adds a name that a full snapshot lists with that many bytes. */
  addListed(sha1: string, size: number): void {
    if (this.#names.has(sha1)) return;
    const number = this.#names.add(sha1);
    if (number >= this.#sizes.length) {
      const larger = new Float64Array(this.#sizes.length * 2).fill(PROVED);
      larger.set(this.#sizes);
      this.#sizes = larger;
    }
    this.#sizes[number] = size;
  }

  /** Rows say that it has that many bytes: whether it is still known. */
  hasSize(sha1: string, size: number): boolean {
    if (!this.has(sha1)) return false;
    const known = this.#sizes[this.#names.indexOf(sha1)] ?? PROVED;
    if (known === PROVED || known === size) return true;
    this.#doubted.add(sha1);
    return false;
  }
}
