// Which part of a snapshot a restore brings back, by --include or --exclude patterns on the paths inside the
// snapshot, and which extended attributes. With restic's meaning. Paths are byte strings that begin with "/".

import { HoldfastError } from "../base/errors.ts";
import { textToByteString } from "../restic/byte-string.ts";
import { loadPatterns } from "./excludes.ts";
import type { ExcludeIo, PatternSources } from "./excludes.ts";
import { compilePatterns, matches } from "./patterns.ts";

export interface SelectionOptions {
  include?: readonly string[];
  iinclude?: readonly string[];
  /** Names of pattern files. */
  includeFile?: readonly string[];
  iincludeFile?: readonly string[];
  exclude?: readonly string[];
  iexclude?: readonly string[];
  excludeFile?: readonly string[];
  iexcludeFile?: readonly string[];
}

export interface Selection {
  readonly selected: boolean;
  /** Something below may be selected, so the directory must be entered even when it is not selected itself. */
  readonly childMayBeSelected: boolean;
}

export type Selector = (path: string, isDirectory: boolean) => Selection;

const NOTHING: Selection = { selected: false, childMayBeSelected: false };
const ITSELF: Selection = { selected: true, childMayBeSelected: false };
const BELOW: Selection = { selected: false, childMayBeSelected: true };
const BOTH: Selection = { selected: true, childMayBeSelected: true };

/** Compiles the options; without any, everything is selected. Throws USAGE, also when both kinds are given. */
export async function compileSelector(
  options: SelectionOptions,
  io: Pick<ExcludeIo, "readFile" | "variables">,
): Promise<Selector> {
  const includes = await loadPatterns(
    {
      option: "include",
      patterns: options.include,
      ignoreCase: options.iinclude,
      files: options.includeFile,
      ignoreCaseFiles: options.iincludeFile,
    },
    io,
  );
  const excludes = await loadPatterns(excludeSources(options), io);
  if (includes.length > 0 && excludes.length > 0) {
    throw new HoldfastError("USAGE", "exclude and include patterns are mutually exclusive");
  }
  if (includes.length === 0) {
    return (path, isDirectory) => {
      if (excludes.some((list) => matches(list, path).matched)) return NOTHING;
      return isDirectory ? BOTH : ITSELF;
    };
  }
  return (path, isDirectory) => {
    let selected = false;
    let below = false;
    for (const list of includes) {
      const match = matches(list, path);
      selected ||= match.matched;
      below ||= match.childMayMatch;
    }
    if (below && isDirectory) return selected ? BOTH : BELOW;
    return selected ? ITSELF : NOTHING;
  };
}

function excludeSources(options: SelectionOptions): PatternSources {
  return {
    option: "exclude",
    patterns: options.exclude,
    ignoreCase: options.iexclude,
    files: options.excludeFile,
    ignoreCaseFiles: options.iexcludeFile,
  };
}

/** Compiles --include-xattr or --exclude-xattr, of which at most one may be given: true for a name to restore. */
export function compileAttributeFilter(options: {
  include?: readonly string[];
  exclude?: readonly string[];
}): (name: string) => boolean {
  const { include = [], exclude = [] } = options;
  if (include.length > 0 && exclude.length > 0) {
    throw new HoldfastError("USAGE", "exclude and include xattr patterns are mutually exclusive");
  }
  if (include.length > 0) {
    const list = compilePatterns(include, { source: "--include-xattr" });
    return (name) => matches(list, textToByteString(name)).matched;
  }
  const list = compilePatterns(exclude, { source: "--exclude-xattr" });
  return (name) => !matches(list, textToByteString(name)).matched;
}
