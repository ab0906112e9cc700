// Byte strings: JS strings in which every char is one raw byte (latin1 decoding). Names and link targets are kept in
// this form (docs/formats/restic.md#trees), because they need not be valid UTF-8 and because comparing such strings
// with < compares the raw bytes. Text that people read is an ordinary JS string; never mix the two.

const ASCII = /^[\x00-\x7f]*$/;

/** True when every char is below 0x80: then a byte string and its text are the same. */
export function isAscii(text: string): boolean {
  return ASCII.test(text);
}

/** The byte string of `bytes`. */
export function toByteString(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

/** The bytes of a byte string. */
export function fromByteString(byteString: string): Buffer {
  return Buffer.from(byteString, "latin1");
}

/** The text that a byte string means as UTF-8; what is not UTF-8 becomes U+FFFD. */
export function byteStringToText(byteString: string): string {
  return ASCII.test(byteString) ? byteString : Buffer.from(byteString, "latin1").toString("utf8");
}

/** The byte string of `text` in UTF-8; a lone surrogate becomes U+FFFD. */
export function textToByteString(text: string): string {
  return ASCII.test(text) ? text : Buffer.from(text, "utf8").toString("latin1");
}

/**
 * The code point whose UTF-8 form starts at `index` of a byte string, or -1 when the bytes there are not UTF-8 (in the
 * strict sense: no surrogates, no overlong forms). One invalid byte is skipped at a time, as Go does.
 */
export function codePointAt(byteString: string, index: number): number {
  const first = byteString.charCodeAt(index);
  if (first < 0x80) return first;
  if (first < 0xc2 || first > 0xf4) return -1;
  const second = tail(byteString, index + 1);
  if (second < 0) return -1;
  if (first < 0xe0) return ((first & 0x1f) << 6) | second;
  const third = tail(byteString, index + 2);
  if (third < 0) return -1;
  if (first < 0xf0) {
    const point = ((first & 0x0f) << 12) | (second << 6) | third;
    return point < 0x800 || (point >= 0xd800 && point <= 0xdfff) ? -1 : point;
  }
  const fourth = tail(byteString, index + 3);
  if (fourth < 0) return -1;
  const point = ((first & 0x07) << 18) | (second << 12) | (third << 6) | fourth;
  return point < 0x10000 || point > 0x10ffff ? -1 : point;
}

/** Number of bytes of a code point in UTF-8. */
export function utf8Width(codePoint: number): number {
  if (codePoint < 0x80) return 1;
  if (codePoint < 0x800) return 2;
  return codePoint < 0x10000 ? 3 : 4;
}

/** True when the bytes are valid UTF-8. */
export function isUtf8(byteString: string): boolean {
  if (ASCII.test(byteString)) return true;
  for (let i = 0; i < byteString.length;) {
    const point = codePointAt(byteString, i);
    if (point < 0) return false;
    i += utf8Width(point);
  }
  return true;
}

/** Six payload bits of a continuation byte, or -1. */
function tail(byteString: string, index: number): number {
  const byte = byteString.charCodeAt(index);
  return (byte & 0xc0) === 0x80 ? byte & 0x3f : -1;
}
