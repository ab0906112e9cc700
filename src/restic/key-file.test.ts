// The JSON text was made by Go 1.26 from a struct with the members that docs/formats/restic.md#keys lists.

import assert from "node:assert/strict";
import test from "node:test";
import { decodeKeyFile, encodeKeyFile } from "./key-file.ts";

const SALT = Buffer.from(Array.from({ length: 64 }, (_, i) => i));
const SALT_TEXT =
  "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==";
const DATA_TEXT =
  "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+PwABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
const TEXT = `{"created":"2024-03-01T12:30:45.12-05:30","username":"u","hostname":"h","kdf":"scrypt","N":32768,"r":8,"p":7,"salt":"${SALT_TEXT}","data":"${DATA_TEXT}"}`;
const decode = (text: string): unknown => decodeKeyFile(Buffer.from(text));

test("key files are written as Go does, and read back", () => {
  const key = {
    created: "2024-03-01T12:30:45.12-05:30",
    username: "u",
    hostname: "h",
    N: 32768,
    r: 8,
    p: 7,
    salt: SALT,
    data: Buffer.concat([SALT, SALT]),
  };
  assert.equal(encodeKeyFile(key).toString(), TEXT);
  assert.deepEqual(decode(TEXT), key);
});

test("rustic's key files without owner and date are read, with their parameters", () => {
  const text = `{"kdf":"scrypt","N":131072,"r":8,"p":1,"data":"${DATA_TEXT}","salt":"${SALT_TEXT}"}`;
  const { created, username, hostname, N } = decodeKeyFile(Buffer.from(text));
  assert.deepEqual(
    { created, username, hostname, N },
    { created: "", username: "", hostname: "", N: 131072 },
  );
});

test("parameters that would exhaust the machine are refused before they are used", () => {
  for (const [N, r, p] of [
    [2 ** 31, 8, 1],
    [2 ** 20, 16, 1],
    [65536, 8, 4096],
    [2, 1, 2 ** 24],
    [65536, 1, 1],
    [2, 2 ** 30, 1],
    [65535, 8, 1],
    [0, 8, 1],
    [1, 8, 1],
    [65536, 0, 1],
    [65536, 8, 0],
    [-65536, 8, 1],
    [65536.5, 8, 1],
  ]) {
    const text = TEXT.replace('"N":32768,"r":8,"p":7', `"N":${N},"r":${r},"p":${p}`);
    assert.throws(() => decode(text), { code: "KEY_DAMAGED" }, `${N} ${r} ${p}`);
  }
  assert.doesNotThrow(() => decode(TEXT.replace('"N":32768', '"N":1048576')));
});

test("what is no key file is damage", () => {
  for (const text of [
    "",
    "{}",
    "[]",
    TEXT.slice(1),
    TEXT.replace("scrypt", "argon2"),
    TEXT.replace(SALT_TEXT, SALT_TEXT.slice(4)),
    TEXT.replace(SALT_TEXT, `!${SALT_TEXT.slice(1)}`),
    TEXT.replace(SALT_TEXT, ""),
    TEXT.replace(DATA_TEXT, "AAAA"),
    TEXT.replace(DATA_TEXT, DATA_TEXT.slice(0, -1)),
    TEXT.replace("2024", "24"),
    TEXT.replace('"u"', "1"),
  ]) {
    assert.throws(() => decode(text), { code: "KEY_DAMAGED" }, text);
  }
});
