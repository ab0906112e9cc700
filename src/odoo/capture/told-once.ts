// What was told already. A file that does not belong into a filestore is there at every listing, and is told once; so many
// things are remembered, and no others are told, so that a hostile folder fills neither memory nor log.

const TOLD_MAX = 1000;

export class ToldOnce {
  readonly #told = new Set<string>();

  /** True the first time. */
  isNews(text: string): boolean {
    if (this.#told.has(text) || this.#told.size >= TOLD_MAX) return false;
    this.#told.add(text);
    return true;
  }
}
