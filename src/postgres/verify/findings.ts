// What a verification found, a line each. Only how many are kept is bounded, so that one backup of which nothing is right
// does not fill the memory.

const KEPT_MAX = 50;

export class Findings {
  readonly lines: string[] = [];
  /** How many were found and not kept. */
  more = 0;

  get isEmpty(): boolean {
    return this.lines.length === 0;
  }

  add(line: string): void {
    if (this.lines.length < KEPT_MAX) this.lines.push(line);
    else this.more++;
  }
}
