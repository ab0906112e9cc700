// The text form in which COPY … TO STDOUT gives rows: fields between tabs, "\N" for null, a few characters escaped.

const ESCAPES: Readonly<Record<string, string>> = {
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** A field, as it is between two tabs. */
export function unescapeField(field: string): string {
  if (!field.includes("\\")) return field;
  return field.replaceAll(/\\(.)/g, (_, letter: string) => ESCAPES[letter] ?? letter);
}

/** The fields of a row, whose line ends in "\n". */
export function readCopyRow(line: Buffer): (string | null)[] {
  return line
    .toString("utf8", 0, line.length - 1)
    .split("\t")
    .map((field) => (field === "\\N" ? null : unescapeField(field)));
}
