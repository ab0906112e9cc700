// The rows that a catalogue knows as they are now: number, the transaction that wrote the row, and a print of its content.
// A million rows take about 40 MB; a Map of objects would take ten times as much.

/** A growing table from the number of a row to what is known of it. Open addressing; the ends of rows leave no holes. */
export class KnownRows {
  #count = 0;
  #ids: Int32Array = new Int32Array(1024);
  #xmins: Uint32Array = new Uint32Array(1024);
  #prints: Float64Array = new Float64Array(1024);
  #marks: Uint8Array = new Uint8Array(1024);

  get size(): number {
    return this.#count;
  }

  /** Slot of a row, -1 when it is not known. A slot is good until a row is set or removed. */
  find(id: number): number {
    const slot = this.#slotOf(id);
    return this.#ids[slot] === id ? slot : -1;
  }

  xmin(slot: number): number {
    return this.#xmins[slot]!;
  }

  print(slot: number): number {
    return this.#prints[slot]!;
  }

  /** Takes down that a row was seen in the scan with that mark. */
  mark(slot: number, mark: number): void {
    this.#marks[slot] = mark;
  }

  /** Takes down what a row is now. `id` is positive. */
  set(id: number, xmin: number, print: number, mark = 0): void {
    let slot = this.#slotOf(id);
    if (this.#ids[slot] !== id) {
      if ((this.#count + 1) * 5 > this.#ids.length * 3) {
        this.#grow();
        slot = this.#slotOf(id);
      }
      this.#count++;
      this.#ids[slot] = id;
    }
    this.#xmins[slot] = xmin;
    this.#prints[slot] = print;
    this.#marks[slot] = mark;
  }

  /** Forgets a row. */
  remove(id: number): void {
    let hole = this.#slotOf(id);
    if (this.#ids[hole] !== id) return;
    this.#count--;
    const mask = this.#ids.length - 1;
    // Whoever stepped over the hole moves into it, so that a search never ends too early.
    for (let slot = (hole + 1) & mask; this.#ids[slot] !== 0; slot = (slot + 1) & mask) {
      const home = homeOf(this.#ids[slot]!, mask);
      const isBetween = hole <= slot ? hole < home && home <= slot : hole < home || home <= slot;
      if (isBetween) continue;
      this.#move(slot, hole);
      hole = slot;
    }
    this.#ids[hole] = 0;
  }

  /** Numbers of the rows that do not have that mark. */
  *without(mark: number): Generator<number, void> {
    for (let slot = 0; slot < this.#ids.length; slot++) {
      if (this.#ids[slot] !== 0 && this.#marks[slot] !== mark) yield this.#ids[slot]!;
    }
  }

  #slotOf(id: number): number {
    const mask = this.#ids.length - 1;
    let slot = homeOf(id, mask);
    for (;;) {
      const found = this.#ids[slot]!;
      if (found === 0 || found === id) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #move(from: number, to: number): void {
    this.#ids[to] = this.#ids[from]!;
    this.#xmins[to] = this.#xmins[from]!;
    this.#prints[to] = this.#prints[from]!;
    this.#marks[to] = this.#marks[from]!;
  }

  #grow(): void {
    const [ids, xmins, prints, marks] = [this.#ids, this.#xmins, this.#prints, this.#marks];
    const length = ids.length * 2;
    this.#ids = new Int32Array(length);
    this.#xmins = new Uint32Array(length);
    this.#prints = new Float64Array(length);
    this.#marks = new Uint8Array(length);
    for (let old = 0; old < ids.length; old++) {
      if (ids[old] === 0) continue;
      const slot = this.#slotOf(ids[old]!);
      this.#ids[slot] = ids[old]!;
      this.#xmins[slot] = xmins[old]!;
      this.#prints[slot] = prints[old]!;
      this.#marks[slot] = marks[old]!;
    }
  }
}

/** Where a number belongs; neighbours far apart would cost a cache line each, so they stay together. */
function homeOf(id: number, mask: number): number {
  return id & mask;
}
