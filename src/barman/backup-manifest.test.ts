import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { sha256Hex } from "../base/bytes.ts";
import { isHoldfastError } from "../base/errors.ts";
import { manifestPath, parseManifest, type BackupManifest } from "./backup-manifest.ts";

/** Of a server of version 15, shortened. */
const REAL = `{ "PostgreSQL-Backup-Manifest-Version": 1,
"Files": [
{ "Path": "backup_label", "Size": 225, "Last-Modified": "2026-11-26 02:00:58 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "43682cbd" },
{ "Path": "PG_VERSION", "Size": 3, "Last-Modified": "2026-11-26 02:00:57 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "8a744722" },
{ "Encoded-Path": "62617365fF", "Size": 8192, "Last-Modified": "2026-11-26 02:00:58 GMT" }
],
"WAL-Ranges": [
{ "Timeline": 1, "Start-LSN": "0/3000028", "End-LSN": "0/3000100" }
],
`;

function sealed(text: string): Buffer {
  return Buffer.from(`${text}"Manifest-Checksum": "${sha256Hex(Buffer.from(text))}"}\n`);
}

function parse(content: Uint8Array): BackupManifest {
  return parseManifest(content, "meta/x/backup_manifest");
}

function assertDamaged(content: Uint8Array, message: RegExp): void {
  assert.throws(
    () => parse(content),
    (error) => isHoldfastError(error, "BACKUP_DAMAGED") && message.test(error.message),
  );
}

suite("backup_manifest", () => {
  test("one of version 1", () => {
    const content = sealed(REAL);
    const { files, ...rest } = parse(content);
    assert.deepEqual(rest, {
      version: 1,
      systemId: undefined,
      walRanges: [{ timeline: 1, start: 0x3000028n, end: 0x3000100n }],
      checksum: sha256Hex(Buffer.from(REAL)),
    });
    assert.deepEqual(
      [...files],
      [
        ["backup_label", { size: 225, algorithm: "CRC32C", checksum: "43682cbd" }],
        ["PG_VERSION", { size: 3, algorithm: "CRC32C", checksum: "8a744722" }],
        ["base\xff", { size: 8192, algorithm: "NONE", checksum: "" }],
      ],
    );
  });

  test("one of version 2, with an identifier of more digits than a number has", () => {
    const text = REAL.replace(": 1,\n", `: 2,\n"System-Identifier": 7438250985921037654,\n`);
    const { version, systemId } = parse(sealed(text));
    assert.deepEqual([version, systemId], [2, "7438250985921037654"]);
    assertDamaged(sealed(REAL.replace(": 1,\n", ": 2,\n")), /:2: the line is not an identifier/);
  });

  test("any byte that changes, and any end that is cut off, is found", () => {
    const content = sealed(REAL);
    fc.assert(
      fc.property(
        fc.nat({ max: content.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        (at, flip) => {
          const changed = Buffer.from(content);
          changed[at]! ^= flip;
          assertDamaged(changed, /checksum/);
          assertDamaged(content.subarray(0, at), /cut off|its checksum is/);
        },
      ),
    );
  });

  test("whatever comes is read or is damage", () => {
    const part = fc.constantFrom(
      ...REAL.split(/(?<=[\n, ])/),
      "],\n",
      "{",
      "}",
      '"Path": "a"',
      "\\",
      "9e99",
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 30 }), (parts) => {
        try {
          parse(sealed(parts.join("")));
        } catch (error) {
          assert.ok(isHoldfastError(error, "BACKUP_DAMAGED"), String(error));
        }
      }),
    );
  });

  test("what is right in itself, but no manifest", () => {
    const file = '"PG_VERSION", "Size": 3,';
    for (const [from, to, message] of [
      ['Version": 1', 'Version": 3', /:1: version 3 of manifests is not known/],
      [file, '"backup_label", "Size": 3,', /:4: the file is there twice/],
      [file, '"../PG_VERSION", "Size": 3,', /:4: the path leaves/],
      [file, '"/etc/passwd", "Size": 3,', /:4: the path leaves/],
      [file, '"a//b", "Size": 3,', /:4: the path leaves/],
      [file, '"a\\u0000b", "Size": 3,', /:4: the path leaves/],
      [file, '"", "Size": 3,', /:4: the path leaves/],
      [file, '"a", "Encoded-Path": "61", "Size": 3,', /:4: the file does not have one path/],
      [`"Path": ${file}`, '"Size": 3,', /:4: the file does not have one path/],
      [file, '"PG_VERSION", "Size": -3,', /:4: the size/],
      [file, '"PG_VERSION", "Size": 1e300,', /:4: the size/],
      ['"8a744722"', '"8a74472"', /:4: the checksum is none of CRC32C/],
      ['"CRC32C", "Checksum": "8a744722"', '"MD5", "Checksum": "8a744722"', /:4: .* not known/],
      ['"8a744722" },', '"8a744722" }', /:5: a comma is missing/],
      ["62617365fF", "62617365f", /:5: the path of the file cannot be read/],
      ["0/3000100", "0/3000010", /:8: the line is no range of WAL/],
      [`"Timeline": 1`, `"Timeline": 0`, /:8: the line is no range of WAL/],
      ['],\n"WAL', ']\n"WAL', /:6: /],
    ] as const) {
      assert.ok(REAL.includes(from), from);
      assertDamaged(sealed(REAL.replace(from, () => to)), message);
    }
    assertDamaged(sealed(`${REAL}\n`), /:10: the line is not the checksum/);
    assertDamaged(Buffer.alloc(0), /cut off/);
  });

  test("a path is its bytes", () => {
    assert.equal(manifestPath("base/é"), "base/\xc3\xa9");
    assert.equal(manifestPath(Buffer.from([0x61, 0xff])), "a\xff");
    const named = parse(sealed(REAL.replace('"PG_VERSION"', '"base/\\u00e9"')));
    assert.ok(named.files.has(manifestPath("base/é")));
  });
});
