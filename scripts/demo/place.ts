// The folder of a demonstration. It is emptied before each one, so a folder that somebody named must be one that a
// demonstration made: a mark in it tells.

import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const MARK = ".made-by-the-demonstration";

/** Why the folder must not be used; undefined when it may. */
export function whyNot(place: string): string | undefined {
  if (!existsSync(place)) return undefined;
  const names = readdirSync(place);
  if (names.length === 0 || names.includes(MARK)) return undefined;
  return `${place} is not empty, and no demonstration made it: name another --folder`;
}

/** Makes the folder, or takes everything out of it. */
export function makePlace(place: string): void {
  mkdirSync(place, { recursive: true });
  for (const name of readdirSync(place)) {
    if (name !== MARK) rmSync(join(place, name), { recursive: true, force: true });
  }
  writeFileSync(join(place, MARK), "");
}
