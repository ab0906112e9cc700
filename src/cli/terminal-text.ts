// Text as a terminal shows it: how wide it is, how to cut it to a width, and how to keep what comes from a file name
// from moving the cursor or changing colours.

import { isPrintable } from "../restic/go-printable.ts";
import { quoteName } from "../restic/go-quote.ts";
import { byteStringToText, isUtf8, textToByteString } from "../restic/byte-string.ts";

// Characters that take two cells (East Asian Width W and F), beside those that are shown as pictures.
const WIDE =
  /[\u1100-\u115f\u2329\u232a\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\ua4c6\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18cff}\u{1aff0}-\u{1b2ff}\u{1f200}-\u{1f265}\u{20000}-\u{3fffd}]|(?![\u{1f1e6}-\u{1f1ff}])\p{Emoji_Presentation}/u;

const ASCII = /^[\x20-\x7e]*$/;

/** Number of terminal cells of a text. */
export function displayWidth(text: string): number {
  if (ASCII.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += WIDE.test(character) ? 2 : 1;
  return width;
}

/**
 * The beginning of `text` that fits into `cells`. Errs on the short side: some terminals show more characters wide
 * than others, and a line that wraps spoils the display.
 */
export function truncate(text: string, cells: number): string {
  if (ASCII.test(text)) return text.slice(0, Math.max(0, cells));
  let end = 0;
  let left = cells;
  for (const character of text) {
    left -= character > "\xff" ? 2 : 1;
    if (left < 0) break;
    end += character.length;
  }
  return text.slice(0, end);
}

/** `text` as it is when it is harmless to show, else quoted with its odd characters escaped. */
export function quoteUnprintable(text: string): string {
  if (ASCII.test(text)) return text;
  for (const character of text) {
    const point = character.codePointAt(0) as number;
    if (point === 0xfffd || !isPrintable(point)) return quote(textToByteString(text));
  }
  return text;
}

// What a terminal obeys, but for the ends of lines and tabs: control characters, and those that turn the direction of text.
const OBEYED =
  // oxlint-disable-next-line no-control-regex
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** A message of several lines with what a terminal would obey written out, as "\u001b". In JSON it means the same. */
export function harmless(text: string): string {
  return text.replaceAll(
    OBEYED,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A byte-string path to show to a person. */
export function pathText(path: string): string {
  return isUtf8(path) ? quoteUnprintable(byteStringToText(path)) : quote(path);
}

function quote(bytes: string): string {
  return `"${byteStringToText(quoteName(bytes))}"`;
}
