// Strings as Go's encoding/json writes them (docs/formats/restic.md#json): trees are named by the hash of their JSON,
// so every byte counts. Escaped are the quote, the backslash, control characters, < > & and U+2028/9; all else is
// literal UTF-8, and what is not valid Unicode becomes the six characters \ufffd.

import { codePointAt, utf8Width } from "./byte-string.ts";

const PLAIN_TEXT = /^[ !#-%'-;=?-[\]-\u2027\u202a-\ud7ff\ue000-\uffff]*$/;
const PLAIN_BYTES = /^[ !#-%'-;=?-[\]-\x7f]*$/;
const NOT_PLAIN =
  /[\ud800-\udbff][\udc00-\udfff]|[^ !#-%'-;=?-[\]-\u2027\u202a-\ud7ff\ue000-\uffff]/g;

const SHORT: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

/** `text` as a JSON string with its quotes, as Go ≥1.22 writes it. Lone surrogates become `\ufffd`. */
export function goJsonString(text: string): string {
  return PLAIN_TEXT.test(text) ? `"${text}"` : `"${text.replace(NOT_PLAIN, escapeText)}"`;
}

/**
 * A byte string as a JSON string with its quotes, itself a byte string (UTF-8). Every byte that is not part of valid
 * UTF-8 becomes `\ufffd`.
 */
export function goJsonByteString(byteString: string): string {
  if (PLAIN_BYTES.test(byteString)) return `"${byteString}"`;
  let json = '"';
  let from = 0;
  for (let i = 0; i < byteString.length;) {
    const point = codePointAt(byteString, i);
    const end = i + (point < 0 ? 1 : utf8Width(point));
    const escaped = point < 0 ? "\\ufffd" : escapePoint(point);
    if (escaped !== undefined) {
      json += byteString.slice(from, i) + escaped;
      from = end;
    }
    i = end;
  }
  return `${json}${byteString.slice(from)}"`;
}

function escapeText(found: string): string {
  if (found.length > 1) return found;
  const code = found.charCodeAt(0);
  return code >= 0xd800 && code <= 0xdfff ? "\\ufffd" : (escapePoint(code) ?? found);
}

function escapePoint(point: number): string | undefined {
  if (point < 0x80) {
    const char = String.fromCharCode(point);
    if (SHORT[char] !== undefined) return SHORT[char];
    const special = point < 0x20 || char === "<" || char === ">" || char === "&";
    return special ? `\\u${point.toString(16).padStart(4, "0")}` : undefined;
  }
  return point === 0x2028 || point === 0x2029 ? `\\u${point.toString(16)}` : undefined;
}
