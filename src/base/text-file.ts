// Text that people keep in files: pattern lists, password files, a repository's location. Windows editors save it as
// UTF-16 or put a byte order mark before it. Results are byte strings: one character per UTF-8 byte (latin1), so
// that a name or password which is not valid UTF-8 survives unchanged.

const UTF8_MARK = "\xef\xbb\xbf";
const UTF16_LITTLE = "\xff\xfe";
const UTF16_BIG = "\xfe\xff";

/** UTF-8 bytes of `text` as a byte string. */
export function toByteString(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

/** Text of a byte string; bytes that are not UTF-8 become U+FFFD. */
export function fromByteString(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString("utf8");
}

/** A text file's content as a byte string of UTF-8, without byte order mark; UTF-16 is recognised by its mark. */
export function decodeTextFile(content: Uint8Array): string {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.length);
  const head = bytes.toString("latin1", 0, 3);
  if (head.startsWith(UTF8_MARK)) return bytes.toString("latin1", 3);
  if (head.startsWith(UTF16_LITTLE)) return toByteString(new TextDecoder("utf-16le").decode(bytes));
  if (head.startsWith(UTF16_BIG)) return toByteString(new TextDecoder("utf-16be").decode(bytes));
  return bytes.toString("latin1");
}

// Every character with the Unicode property White_Space, as UTF-8.
const SPACE =
  "(?:[\\t-\\r ]|\\xc2[\\x85\\xa0]|\\xe1\\x9a\\x80|\\xe2(?:\\x80[\\x80-\\x8a\\xa8\\xa9\\xaf]|\\x81\\x9f)|\\xe3\\x80\\x80)";
const LEADING_SPACE = new RegExp(`^${SPACE}+`);
const LAST_SPACE = new RegExp(`${SPACE}$`);

/** `bytes` (a byte string) without white space at either end. */
export function trimByteString(bytes: string): string {
  let text = bytes.replace(LEADING_SPACE, "");
  while (true) {
    const match = LAST_SPACE.exec(text.slice(-3));
    if (match === null) return text;
    text = text.slice(0, -match[0].length);
  }
}
