// What each directory listing refers to: listings below it, and packs with content. Collected while a check walks the listings,
// so that afterwards each snapshot can be followed to its packs without reading anything again. A few numbers a listing.

import { EntrySet, createEntrySetMemory } from "./entry-set.ts";

/** Numbers of one listing, as they come from whoever read it: the listing, its listings, its packs. */
export class TreeEdges {
  #numbers: number[] = [];
  readonly #packs = new Set<number>();
  readonly #subtrees: number[] = [];

  subtree(entry: number): void {
    this.#subtrees.push(entry);
  }

  pack(number: number): void {
    this.#packs.add(number);
  }

  /** Ends the listing at an index entry: what was added since belongs to it. */
  end(tree: number): void {
    this.#numbers.push(tree, this.#subtrees.length, this.#packs.size);
    for (const subtree of this.#subtrees) this.#numbers.push(subtree);
    for (const pack of this.#packs) this.#numbers.push(pack);
    this.#subtrees.length = 0;
    this.#packs.clear();
  }

  /** Everything ended so far, which is forgotten here. */
  take(): Uint32Array {
    const taken = Uint32Array.from(this.#numbers);
    this.#numbers = [];
    return taken;
  }
}

/** All listings of a repository. */
export class TreeGraph {
  readonly #entries: number;
  /** Where the numbers of a listing begin, plus one; 0 for listings nobody has read. */
  readonly #places: Uint32Array;
  #numbers = new Uint32Array(1 << 12);
  #length = 0;

  /** `entries`: how many the index has. */
  constructor(entries: number) {
    this.#entries = entries;
    this.#places = new Uint32Array(entries);
  }

  /** Takes what TreeEdges gave. */
  add(edges: Uint32Array): void {
    while (this.#length + edges.length > this.#numbers.length) {
      const larger = new Uint32Array(this.#numbers.length * 2);
      larger.set(this.#numbers.subarray(0, this.#length));
      this.#numbers = larger;
    }
    for (let at = 0; at < edges.length; at += 3 + edges[at + 1]! + edges[at + 2]!) {
      this.#places[edges[at]!] = this.#length + at + 1;
    }
    this.#numbers.set(edges, this.#length);
    this.#length += edges.length;
  }

  /**
   * Follows a listing to all that it refers to. `visit` gets each listing once, and each pack at least once; `isRead` is false
   * for a listing of which nothing is known.
   */
  follow(
    root: number,
    visit: { tree: (entry: number, isRead: boolean) => void; pack: (number: number) => void },
  ): void {
    const met = new EntrySet(createEntrySetMemory(this.#entries));
    const waiting = [root];
    met.add(root);
    for (let tree = waiting.pop(); tree !== undefined; tree = waiting.pop()) {
      const at = this.#places[tree]! - 1;
      visit.tree(tree, at >= 0);
      if (at < 0) continue;
      const packsAt = at + 3 + this.#numbers[at + 1]!;
      for (let i = at + 3; i < packsAt; i++) {
        const subtree = this.#numbers[i]!;
        if (met.add(subtree)) waiting.push(subtree);
      }
      for (let i = packsAt; i < packsAt + this.#numbers[at + 2]!; i++)
        visit.pack(this.#numbers[i]!);
    }
  }
}
