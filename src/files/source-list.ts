// Paths to back up that are listed in files: restic's --files-from, --files-from-verbatim and --files-from-raw.

import { globSync } from "node:fs";
import { HoldfastError, messageOf } from "../base/errors.ts";
import { decodeTextFile, trimByteString } from "../base/text-file.ts";
import { byteStringToText, textToByteString, toByteString } from "../restic/byte-string.ts";

export interface SourceLists {
  /** Files with one pattern a line; `#` begins a comment. */
  patterns: readonly string[];
  /** Files with one path a line, taken as it is. */
  verbatim: readonly string[];
  /** Files with paths that a zero byte ends. */
  raw: readonly string[];
  readFile(name: string): Promise<Uint8Array>;
  /** A pattern that matches nothing. */
  warn(message: string): void;
}

/** All paths listed, as byte strings. USAGE for a list that cannot be read or is malformed. */
export async function readSourceLists(lists: SourceLists): Promise<string[]> {
  const paths: string[] = [];
  for (const name of lists.patterns) {
    for (const line of textLines(await read(lists, name, "--files-from"))) {
      const pattern = trimByteString(line);
      if (pattern !== "" && !pattern.startsWith("#")) paths.push(...expand(pattern, lists));
    }
  }
  for (const name of lists.verbatim) {
    const lines = textLines(await read(lists, name, "--files-from-verbatim"));
    paths.push(...lines.filter((line) => line !== ""));
  }
  for (const name of lists.raw) {
    paths.push(...rawNames(toByteString(await read(lists, name, "--files-from-raw"))));
  }
  return paths;
}

async function read(lists: SourceLists, name: string, option: string): Promise<Uint8Array> {
  try {
    return await lists.readFile(name);
  } catch (error) {
    throw new HoldfastError("USAGE", `${option}: cannot read ${name}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function textLines(content: Uint8Array): string[] {
  return decodeTextFile(content).split(/\r?\n/);
}

function expand(pattern: string, lists: SourceLists): string[] {
  const text = byteStringToText(pattern);
  const found = globSync(text).map(textToByteString).sort();
  if (found.length === 0) lists.warn(`pattern "${text}" does not match any files, skipping`);
  return found;
}

function rawNames(content: string): string[] {
  if (content === "") return [];
  if (!content.endsWith("\0")) {
    throw new HoldfastError("USAGE", "--files-from-raw: trailing zero byte missing");
  }
  const names = content.slice(0, -1).split("\0");
  if (names.includes("")) {
    throw new HoldfastError("USAGE", "--files-from-raw: empty filename in listing");
  }
  return names;
}
