// How much a verification may read, so that one that runs often does not cost a month's traffic.

export class ReadBudget {
  #left: number;

  /** `bytes` as they are stored; undefined for no limit. */
  constructor(bytes: number | undefined) {
    this.#left = bytes ?? Infinity;
  }

  /** True when `bytes` may be read, which are then taken off. What is begun is read whole. */
  take(bytes: number): boolean {
    if (this.#left <= 0) return false;
    this.#left -= bytes;
    return true;
  }
}
