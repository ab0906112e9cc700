// Files of patterns, for --exclude-file and its relatives: one pattern per line, white space around it ignored, lines
// that are empty or begin with "#" skipped, and $NAME or ${NAME} replaced by variables as restic does ("$$" is a "$").

import { decodeTextFile, trimByteString } from "../base/text-file.ts";
import { textToByteString } from "../restic/byte-string.ts";

/** Value of an environment variable. */
export type Variables = (name: string) => string | undefined;

/** The patterns of a file, as byte strings, in its order. */
export function parsePatternFile(content: Uint8Array, variables: Variables): string[] {
  const patterns: string[] = [];
  for (const line of decodeTextFile(content).split("\n")) {
    const pattern = trimByteString(line);
    if (pattern !== "" && !pattern.startsWith("#")) patterns.push(expand(pattern, variables));
  }
  return patterns;
}

// A name in braces, one of the shell's own one-character names, or an ordinary name; or what only looks like one.
const REFERENCE = /\$(?:\{([^}]*)\}|([*#$@!?\-0-9])|([A-Za-z0-9_]+)|\{)/g;

/** Replaces variables; one that is not set is empty, and so is a brace that is not closed. */
function expand(text: string, variables: Variables): string {
  return text.replace(REFERENCE, (_, braced?: string, special?: string, plain?: string) => {
    const name = braced ?? special ?? plain ?? "";
    return name === "$" ? "$" : textToByteString((name && variables(name)) ?? "");
  });
}
