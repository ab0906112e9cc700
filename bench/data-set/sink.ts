// Where generated files go: a directory on disk. Directories are made once; times are in the past and depend only on
// the order of the files, so two runs with one seed give trees that no tool can tell apart.

import { closeSync, mkdirSync, openSync, utimesSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";

export interface FileSink {
  /** Writes a file; `path` is relative, with "/". */
  write(path: string, body: Uint8Array): void;
  readonly files: number;
  readonly bytes: number;
}

/** 2024-01-01T00:00:00Z; each file is a minute younger than the one before, and all within a year. */
const OLDEST_SECONDS = 1_704_067_200;
const YEAR_SECONDS = 366 * 86_400;

/** A sink that writes below `root`, with times that start at `oldest` seconds since 1970. */
export function directorySink(root: string, oldest: number = OLDEST_SECONDS): FileSink {
  const made = new Set<string>();
  let files = 0;
  let bytes = 0;
  return {
    write: (path, body) => {
      const target = join(root, path);
      const folder = dirname(target);
      if (!made.has(folder)) {
        mkdirSync(folder, { recursive: true });
        made.add(folder);
      }
      const descriptor = openSync(target, "w");
      for (let at = 0; at < body.length;) at += writeSync(descriptor, body, at);
      closeSync(descriptor);
      const time = oldest + ((files * 60) % YEAR_SECONDS);
      utimesSync(target, time, time);
      files += 1;
      bytes += body.length;
    },
    get files() {
      return files;
    },
    get bytes() {
      return bytes;
    },
  };
}
