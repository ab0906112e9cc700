// Text that people keep in files: pattern lists, password files, a repository's location. Windows editors save it as
// UTF-16 or put a byte order mark before it. Results are byte strings: one character per UTF-8 byte (latin1), so
// that a name or password which is not valid UTF-8 survives unchanged.

const UTF8_MARK = "\xef\xbb\xbf";
const UTF16_LITTLE = "\xff\xfe";
const UTF16_BIG = "\xfe\xff";

/** A text file's content as a byte string of UTF-8, without byte order mark; UTF-16 is recognised by its mark. */
export function decodeTextFile(content: Uint8Array): string {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.length);
  const head = bytes.toString("latin1", 0, 3);
  if (head.startsWith(UTF8_MARK)) return bytes.toString("latin1", 3);
  if (head.startsWith(UTF16_LITTLE)) return fromUtf16("utf-16le", bytes);
  if (head.startsWith(UTF16_BIG)) return fromUtf16("utf-16be", bytes);
  return bytes.toString("latin1");
}

function fromUtf16(encoding: "utf-16le" | "utf-16be", bytes: Uint8Array): string {
  return Buffer.from(new TextDecoder(encoding).decode(bytes), "utf8").toString("latin1");
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
