// Splits a command given in one text (--password-command, rclone's program) into its words, as restic does: quotes
// group, a backslash outside of quotes takes away the meaning of the next quote, and there is no shell: no variables,
// no wildcards, no pipes. Where a quote begins or ends, a word ends as well.

import { HoldfastError } from "./errors.ts";

const WHITE_SPACE = /\p{White_Space}/u;

/** The words of `command`. Throws USAGE when there are none or a quote is not closed; `source` names the setting. */
export function splitWords(command: string, source: string): [program: string, ...args: string[]] {
  const words: string[] = [];
  let word = "";
  let quote = "";
  let escaped = false;
  const endWord = (): void => {
    if (word !== "") words.push(word);
    word = "";
  };
  for (const character of command) {
    const isQuote = quote === "" ? character === '"' || character === "'" : character === quote;
    if (isQuote && !escaped) {
      quote = quote === "" ? character : "";
      endWord();
      continue;
    }
    escaped = character === "\\";
    if (quote === "" && (escaped || WHITE_SPACE.test(character))) endWord();
    else word += character;
  }
  endWord();
  if (quote !== "") throw new HoldfastError("USAGE", `${source}: a ${quote} is not closed`);
  const [program, ...args] = words;
  if (program === undefined) throw new HoldfastError("USAGE", `${source}: the command is empty`);
  return [program, ...args];
}
