// Which values of a document are encrypted. Implements docs/formats/sops.md#selection.

import { compileRe2 } from "./re2.ts";

/** The rules a document may have; at most one of them. */
export const RULES = [
  "unencrypted_suffix",
  "encrypted_suffix",
  "unencrypted_regex",
  "encrypted_regex",
  "unencrypted_comment_regex",
  "encrypted_comment_regex",
] as const;
export type RuleName = (typeof RULES)[number];

export interface Rule {
  readonly name: RuleName;
  readonly text: string;
}

export const DEFAULT_RULE: Rule = { name: "unencrypted_suffix", text: "_unencrypted" };

/** Keys from the root. */
export type Path = readonly string[];

/** The comments above a value: one list for each mapping or list around it, the innermost last. */
export type Comments = readonly (readonly string[])[];

/** Whether the value, or the comment that stands last in `comments`, is encrypted. */
export type Selection = (path: Path, comments: Comments, isComment: boolean) => boolean;

/** The selection that a rule makes. Throws PatternError. */
export function selectionOf({ name, text }: Rule): Selection {
  switch (name) {
    case "unencrypted_suffix":
      return (path) => !path.some((key) => key.endsWith(text));
    case "encrypted_suffix":
      return (path) => path.some((key) => key.endsWith(text));
    case "unencrypted_regex": {
      const test = compileRe2(text);
      return (path) => !path.some(test);
    }
    case "encrypted_regex": {
      const test = compileRe2(text);
      return (path) => path.some(test);
    }
    case "unencrypted_comment_regex": {
      const test = compileRe2(text);
      return (_path, comments) => !comments.some((level) => level.some(test));
    }
    case "encrypted_comment_regex": {
      const test = compileRe2(text);
      // The comment that says so stays readable itself.
      return (_path, comments, isComment) => {
        const levels = isComment
          ? [...comments.slice(0, -1), comments.at(-1)!.slice(0, -1)]
          : comments;
        return levels.some((level) => level.some(test));
      };
    }
  }
}
