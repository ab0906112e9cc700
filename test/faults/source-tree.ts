// A directory of everything a backup may meet: odd names, links of all kinds, special files, odd modes and times, and
// files on both sides of the size of a chunk.

import { execFileSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { seededBytes } from "../seeded-bytes.ts";
import { IS_ROOT, native } from "./workbench.ts";

const utf8 = (text: string): string => Buffer.from(text).toString("latin1");

/** Byte strings. */
const NAMES: readonly string[] = [
  "plain.txt",
  "\x01control\x7f\ttab\nline",
  "\xff\xfe not utf-8",
  utf8("emoji \u{1f600}\u{1f469}\u200d\u{1f4bb}"),
  utf8("\uffee before \u{10000}"),
  '<&>"quoted"\\back\\\'',
  "two  spaces ",
  "-dash",
  "x".repeat(255),
];

const LINKS: Readonly<Record<string, string>> = {
  "link to a file": "plain.txt",
  "link to nothing": "/no/such/file",
  "link up": "../..",
  "link in latin1 \xe9": "caf\xe9\xff",
};

export interface TreeSizes {
  /** Bytes of the largest file; more than 8 MiB makes several chunks. */
  large?: number;
  /** Small files in a directory of their own. */
  many?: number;
  /** "utf-8": no link has another target. */
  links?: "all" | "utf-8";
}

/** Makes the tree at the new folder `folder`. */
export function plantTree(folder: string, options: TreeSizes = {}): void {
  const { large = 3_000_000, many = 40, links = "all" } = options;
  mkdirSync(join(folder, "sub/deeper"), { recursive: true });
  mkdirSync(join(folder, "empty directory"));
  mkdirSync(native(folder, "sub/\xe9 not utf-8"));
  for (const [i, name] of NAMES.entries()) {
    writeFileSync(native(folder, name), seededBytes(name, 11 * i));
    lutimesSync(native(folder, name), 1, [0, 1.25, 1e9 + 0.5, 1.6e9, 4e9, -5][i % 6]!);
  }
  writeFileSync(native(folder, "sub/\xe9 not utf-8/inside"), "inside");
  for (const [name, target] of Object.entries(LINKS)) {
    if (links === "utf-8" && target.includes("\xff")) continue;
    symlinkSync(Buffer.from(target, "latin1"), native(folder, name));
    lutimesSync(native(folder, name), 1, 1.5e9);
  }
  writeFileSync(join(folder, "empty"), "");
  writeFileSync(join(folder, "large"), seededBytes("large", large));
  writeFileSync(join(folder, "zeros"), Buffer.alloc(2_000_000));
  writeFileSync(join(folder, "sub/deeper/same"), seededBytes("large", large));
  linkSync(join(folder, "large"), join(folder, "sub/second name"));
  linkSync(join(folder, "plain.txt"), join(folder, "sub/deeper/third name"));
  mkdirSync(join(folder, "many"));
  for (let i = 0; i < many; i++) {
    writeFileSync(join(folder, "many", `file ${i}`), seededBytes(i, (i * 977) % 5000));
  }
  execFileSync("mkfifo", [join(folder, "fifo")]);
  execFileSync("sh", ["-c", "mkfifo \"$(printf 'fifo \\377')\""], { cwd: folder });
  if (IS_ROOT) plantForRoot(folder);
  chmodSync(join(folder, "plain.txt"), 0o6755);
  chmodSync(join(folder, "empty directory"), 0o3751);
  chmodSync(join(folder, "sub"), 0o1777);
  chmodSync(join(folder, "empty"), IS_ROOT ? 0o000 : 0o400);
  for (const name of ["empty directory", "sub/deeper", "sub", "many"]) {
    utimesSync(join(folder, name), 1, 1.3e9);
  }
}

/** What only root can make: devices, and files of others. */
function plantForRoot(folder: string): void {
  execFileSync("mknod", [join(folder, "null device"), "c", "1", "3"]);
  execFileSync("mknod", [join(folder, "block device"), "b", "259", "70000"]);
  writeFileSync(join(folder, "of others"), "theirs");
  execFileSync("chown", ["1234:4321", join(folder, "of others"), join(folder, "sub/deeper")]);
  chmodSync(join(folder, "of others"), 0o4711);
}
