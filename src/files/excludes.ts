// Everything that keeps an entry out of a backup, in one place: patterns, pattern files, tag files (CACHEDIR.TAG and
// the like), sizes. With restic's meaning, so that a job that moves over backs up the same files.
//
// A path that the user names as a target is never excluded: do not ask about it, only about what is found below it.
// Staying on one file system is the scan's business. Paths are absolute byte strings.

import { HoldfastError, messageOf } from "../base/errors.ts";
import { parseByteSize } from "../base/byte-size.ts";
import { byteStringToText, textToByteString } from "../restic/byte-string.ts";
import { parsePatternFile } from "./pattern-file.ts";
import type { Variables } from "./pattern-file.ts";
import { compilePatterns, matches } from "./patterns.ts";
import type { PatternList } from "./patterns.ts";

/** First bytes of a tag file that marks a cache directory (https://bford.info/cachedir/). */
const CACHE_TAG = "CACHEDIR.TAG:Signature: 8a477f597d28d172789f06886806bc55";

/** How many directories' tag files are remembered. A walk needs one per level. */
const REMEMBERED_DIRECTORIES = 4096;

/** What to exclude, as the options of the same names give it. */
export interface ExcludeOptions {
  exclude?: readonly string[];
  iexclude?: readonly string[];
  /** Names of pattern files. */
  excludeFile?: readonly string[];
  iexcludeFile?: readonly string[];
  /** `NAME` or `NAME:HEADER` each: skip what is beside a file of this name (that begins with the header). */
  excludeIfPresent?: readonly string[];
  excludeCaches?: boolean;
  /** A size such as "10M". */
  excludeLargerThan?: string;
  /** Directories never to enter: our own cache. Absolute, clean, as byte strings. */
  never?: readonly string[];
}

export interface ExcludeIo {
  /** Content of a pattern file. */
  readFile(name: string): Promise<Uint8Array>;
  variables: Variables;
  /** Up to `length` first bytes of the file at `path`, undefined when nothing is there; throws when in doubt. */
  readStart(path: string, length: number): Uint8Array | undefined;
  /** Says that a tag file was ignored, and why. */
  warn(message: string): void;
}

export interface Excluder {
  /** By path alone, to ask before the entry is looked at. */
  readonly excludesPath: (path: string) => boolean;
  /** By what the entry is: sizes and tag files. */
  readonly excludesEntry: (path: string, entry: { isDirectory: boolean; size: number }) => boolean;
}

/** Pattern options of one kind, excludes or includes. */
export interface PatternSources {
  /** Name of the option: "exclude" or "include". */
  option: "exclude" | "include";
  patterns?: readonly string[] | undefined;
  ignoreCase?: readonly string[] | undefined;
  files?: readonly string[] | undefined;
  ignoreCaseFiles?: readonly string[] | undefined;
}

/** Compiles the options. Throws USAGE for a malformed pattern, size or tag, or an unreadable pattern file. */
export async function compileExcluder(options: ExcludeOptions, io: ExcludeIo): Promise<Excluder> {
  const lists = await loadPatterns(
    {
      option: "exclude",
      patterns: options.exclude,
      ignoreCase: options.iexclude,
      files: options.excludeFile,
      ignoreCaseFiles: options.iexcludeFile,
    },
    io,
  );
  const never = (options.never ?? []).map((path) => (path.endsWith("/") ? path : `${path}/`));
  const specifications = [...(options.excludeIfPresent ?? [])];
  if (options.excludeCaches) specifications.push(CACHE_TAG);
  const tags = specifications.map((specification) => new TagRule(specification, io));
  const limit =
    options.excludeLargerThan === undefined
      ? Infinity
      : parseByteSize(options.excludeLargerThan, "--exclude-larger-than");
  return {
    excludesPath: (path) =>
      lists.some((list) => matches(list, path).matched) ||
      never.some((directory) => `${path}/`.startsWith(directory)),
    excludesEntry: (path, entry) =>
      (!entry.isDirectory && entry.size > limit) || tags.some((tag) => tag.excludes(path)),
  };
}

/** Compiles patterns given directly and in files: at most one list that ignores case and one that does not. */
export async function loadPatterns(
  sources: PatternSources,
  io: Pick<ExcludeIo, "readFile" | "variables">,
): Promise<PatternList[]> {
  const lists: PatternList[] = [];
  for (const ignoreCase of [true, false]) {
    const option = `--${ignoreCase ? "i" : ""}${sources.option}`;
    const given = (ignoreCase ? sources.ignoreCase : sources.patterns) ?? [];
    const files = (ignoreCase ? sources.ignoreCaseFiles : sources.files) ?? [];
    compilePatterns(given, { source: option });
    const patterns = given.map(textToByteString);
    for (const name of files) {
      const found = parsePatternFile(
        await readPatternFile(name, `${option}-file`, io),
        io.variables,
      );
      compilePatterns(found, { encoding: "bytes", source: `${option}-file ${name}` });
      patterns.push(...found);
    }
    if (patterns.length > 0)
      lists.push(compilePatterns(patterns, { ignoreCase, encoding: "bytes" }));
  }
  return lists;
}

async function readPatternFile(
  name: string,
  source: string,
  io: Pick<ExcludeIo, "readFile">,
): Promise<Uint8Array> {
  try {
    return await io.readFile(name);
  } catch (error) {
    throw new HoldfastError("USAGE", `${source}: ${name} cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** One --exclude-if-present. */
class TagRule {
  readonly #name: string;
  readonly #header: string;
  readonly #io: ExcludeIo;
  readonly #known = new Map<string, boolean>();

  constructor(specification: string, io: ExcludeIo) {
    const bytes = textToByteString(specification);
    const colon = bytes.indexOf(":");
    this.#name = colon < 0 ? bytes : bytes.slice(0, colon);
    this.#header = colon < 0 ? "" : bytes.slice(colon + 1);
    this.#io = io;
    if (this.#name === "" || this.#name.includes("/")) {
      throw new HoldfastError("USAGE", `--exclude-if-present: "${specification}" names no file`, {
        hint: "Give a file name, or a file name, a colon and how the file begins.",
      });
    }
  }

  /** Whether the entry lies beside the tag file. The tag file itself stays, to explain the gap. */
  excludes(path: string): boolean {
    const slash = path.lastIndexOf("/") + 1;
    if (path.slice(slash) === this.#name) return false;
    const directory = path.slice(0, slash);
    let tagged = this.#known.get(directory);
    if (tagged === undefined) {
      if (this.#known.size >= REMEMBERED_DIRECTORIES) this.#known.clear();
      tagged = this.#isTagged(directory + this.#name);
      this.#known.set(directory, tagged);
    }
    return tagged;
  }

  #isTagged(path: string): boolean {
    let problem = "it does not begin as expected";
    try {
      const start = this.#io.readStart(path, this.#header.length);
      if (start === undefined) return false;
      if (Buffer.from(start).toString("latin1") === this.#header) return true;
    } catch (error) {
      problem = messageOf(error);
    }
    this.#io.warn(`exclusion tag file "${byteStringToText(path)}" is ignored: ${problem}`);
    return false;
  }
}
