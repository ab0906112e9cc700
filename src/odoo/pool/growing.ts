// A list of 32-bit numbers that grows: four bytes for each, where an array of objects would take a hundred.

/** Numbers from 0 to 2^32 - 1. */
export class Growing {
  #numbers: Uint32Array;
  #count = 0;

  /** `expected`: how many there will probably be. */
  constructor(expected = 1024) {
    this.#numbers = new Uint32Array(Math.max(16, expected));
  }

  get count(): number {
    return this.#count;
  }

  /** Adds a number behind the others; where it is. */
  push(value: number): number {
    if (this.#count === this.#numbers.length) {
      const larger = new Uint32Array(this.#count * 2);
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    this.#numbers[this.#count] = value;
    return this.#count++;
  }

  at(place: number): number {
    return this.#numbers[place]!;
  }

  /** Changes a number that is there, or adds zeros up to it. */
  set(place: number, value: number): void {
    while (this.#count <= place) this.push(0);
    this.#numbers[place] = value;
  }
}
