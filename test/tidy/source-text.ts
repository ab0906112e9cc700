// Reads the project's own files for the tidy test: what there is, what a file imports, and its code without comments
// and strings. Deliberately a scanner and not a parser: it must stay small, and a wrong guess shows up as a red test.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, relative, sep } from "node:path";

/** The project's own folder. */
export const ROOT: string = join(import.meta.dirname, "..", "..");

const NOT_OURS = new Set(["node_modules", ".git", "dist", ".peers", ".demo"]);

/** All files of the project below `folder`, as sorted paths relative to the project with "/". */
export function filesBelow(folder = "."): string[] {
  const entries = readdirSync(join(ROOT, folder), { withFileTypes: true });
  return entries
    .filter((entry) => !NOT_OURS.has(entry.name))
    .flatMap((entry) => {
      const path = relative(ROOT, join(ROOT, folder, entry.name))
        .split(sep)
        .join("/");
      return entry.isDirectory() ? filesBelow(path) : [path];
    })
    .toSorted();
}

/** The text of a file of the project. */
export function textOf(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

const COMMENT_OR_TEXT =
  /\/\*[\s\S]*?\*\/|(?<![\\:"'`/])\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`/g;

/** The code without its comments. */
export function withoutComments(text: string): string {
  return text.replace(COMMENT_OR_TEXT, (part) => (/^\/[*/]/.test(part) ? " " : part));
}

/** The code without comments and without the insides of strings; expressions inside templates stay. */
export function bareCode(text: string): string {
  return text.replace(COMMENT_OR_TEXT, (part) => {
    if (part.startsWith("`")) return `\`${(part.match(/\$\{[^}]*\}/g) ?? []).join(" ")}\``;
    return /^\/[*/]/.test(part) ? " " : '""';
  });
}

/** What `text` imports, loads or starts as a worker: the specifiers as written. */
export function importsOf(text: string): string[] {
  const code = withoutComments(text);
  return [
    ...code.matchAll(/\b(?:from|import)\s*\(?\s*["']([^"']+)["']/g),
    ...code.matchAll(/new URL\(\s*["'](\.[^"']+)["']\s*,\s*import\.meta\.url/g),
  ].map((match) => match[1]!);
}

/** The project path that a relative `specifier` in file `path` means. */
export function resolveImport(path: string, specifier: string): string {
  return posix.normalize(posix.join(dirname(path), specifier));
}

/** The anchors that the headings of a Markdown text make, as the usual hosts compute them. */
export function anchorsOf(markdown: string): Set<string> {
  const headings = markdown.replace(/^```[\s\S]*?^```/gm, "").matchAll(/^#{1,6}\s+(.+)$/gm);
  return new Set(
    [...headings].map((match) =>
      match[1]!
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, "")
        .trim()
        .replace(/\s/g, "-"),
    ),
  );
}
