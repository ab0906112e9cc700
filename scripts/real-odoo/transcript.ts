// What the run against a real Odoo says: on standard output as it happens, and kept, with the folders of this machine under
// names that mean something to a reader.

import { writeFileSync } from "node:fs";

export class Transcript {
  readonly #lines: string[] = [];
  readonly #names: [path: string, name: string][] = [];
  readonly #begun = performance.now();

  /** From now on, `path` is told as `name`. Longer paths first. */
  rename(path: string, name: string): void {
    this.#names.push([path, name]);
    this.#names.sort(([a], [b]) => b.length - a.length);
  }

  /** A heading of the story. */
  heading(text: string): void {
    const seconds = (performance.now() - this.#begun) / 1000;
    this.say(`\n── ${text}   [${seconds.toFixed(0)} s]`);
  }

  /** Lines as they are. */
  say(text: string): void {
    let told = text;
    for (const [path, name] of this.#names) told = told.replaceAll(path, name);
    this.#lines.push(told);
    console.log(told);
  }

  /** Writes all that was said to a file. */
  write(path: string): void {
    writeFileSync(path, `${this.#lines.join("\n").trim()}\n`);
  }
}
