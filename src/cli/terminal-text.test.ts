import { test } from "node:test";
import assert from "node:assert/strict";
import { textToByteString } from "../restic/byte-string.ts";
import { displayWidth, pathText, quoteUnprintable, truncate } from "./terminal-text.ts";

test("wide characters take two cells", () => {
  const widths = {
    "": 0,
    foo: 3,
    aéb: 3,
    "a’b": 3,
    aあb: 4,
    名前: 4,
    "😀": 2,
    ｱ: 1,
    "🇧🇪": 2,
    한: 2,
    Ａ: 2,
  };
  for (const [text, width] of Object.entries(widths)) assert.equal(displayWidth(text), width, text);
});

test("a text is cut before it is too wide", () => {
  assert.equal(truncate("foo", 80), "foo");
  assert.equal(truncate("foo", 2), "fo");
  assert.equal(truncate("foo", -1), "");
  assert.equal(truncate("Löwen", 4), "Löwe");
  assert.equal(truncate("あああああ/data", 7), "あああ");
  assert.equal(truncate("あああああ/data", 11), "あああああ/");
  assert.equal(truncate("a😀b", 2), "a");
});

test("what could upset a terminal is quoted", () => {
  assert.equal(quoteUnprintable("plain name é 名"), "plain name é 名");
  assert.equal(quoteUnprintable("c:\\foo"), "c:\\foo");
  assert.equal(quoteUnprintable("a\x1b[31mred"), '"a\\x1b[31mred"');
  assert.equal(quoteUnprintable("line\nbreak\t"), '"line\\nbreak\\t"');
  assert.equal(quoteUnprintable("\u202eevil"), '"\\u202eevil"');
});

test("paths are shown as text, bytes that are not UTF-8 escaped", () => {
  assert.equal(pathText(textToByteString("/srv/é")), "/srv/é");
  assert.equal(pathText("/srv/caf\xe9"), '"/srv/caf\\xe9"');
  assert.equal(pathText(textToByteString("/é\n")), '"/é\\n"');
});
