// Tars as Python and the system's tar write them, cut anywhere; and what no tar should hold.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { isHoldfastError } from "../base/errors.ts";
import { memberParts, TarReader, type TarMember } from "./tar-reader.ts";

interface Read {
  readonly member: TarMember;
  content: string;
  complete: boolean;
}

function readTar(pieces: Iterable<Uint8Array>): Read[] {
  const reader = new TarReader("a.tar");
  const found: Read[] = [];
  for (const piece of pieces) {
    for (const event of reader.push(piece)) {
      if (event.kind === "member")
        found.push({ member: event.member, content: "", complete: false });
      else if (event.kind === "content") found.at(-1)!.content += event.bytes.toString("latin1");
      else found.at(-1)!.complete = true;
    }
  }
  reader.finish();
  return found;
}

function* cut(bytes: Buffer, sizes: readonly number[]): Generator<Buffer, void> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

const isDamage = (error: unknown): boolean => isHoldfastError(error, "BACKUP_DAMAGED");

const LONG = `base/${"x".repeat(90)}/${"y".repeat(90)}/${"ü".repeat(80)}`;
const SCRIPT = `
import io, sys, tarfile
out = io.BytesIO()
tar = tarfile.open(fileobj=out, mode="w", format=getattr(tarfile, sys.argv[1] + "_FORMAT"))
def add(name, content=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mtime = 1700000000.25
    for key, value in fields.items(): setattr(info, key, value)
    tar.addfile(info, io.BytesIO(content))
add(".", type=tarfile.DIRTYPE, mode=0o700)
add("./PG_VERSION", b"15\\n", mode=0o600)
add("base", type=tarfile.DIRTYPE, mode=0o2750)
add(sys.argv[2], b"z" * 1000)
add("empty")
add("pg_tblspc/16385", type=tarfile.SYMTYPE, linkname="/ts/one" * 20)
add("again", type=tarfile.LNKTYPE, linkname="PG_VERSION")
add("pipe", type=tarfile.FIFOTYPE)
add("block", b"q" * 512, uid=3000000)
tar.close()
sys.stdout.buffer.write(out.getvalue())
`;

function pythonTar(format: "PAX" | "GNU"): Buffer {
  return execFileSync("python3", ["-c", SCRIPT, format, LONG], { maxBuffer: 1 << 24 });
}

for (const format of ["PAX", "GNU"] as const) {
  const bytes = pythonTar(format);

  test(`a ${format} tar of Python's is read, however it is cut`, () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 2000 }), { minLength: 1 }), (sizes) => {
        const found = readTar(cut(bytes, sizes));
        const seen = found.map(({ member: { path, type, mode }, content }) =>
          [
            Buffer.from(path, "latin1").toString().replace(/\/$/, ""),
            type,
            mode.toString(8),
            content.length,
          ].join(" "),
        );
        assert.deepEqual(seen, [
          ". directory 700 0",
          "./PG_VERSION file 600 3",
          "base directory 2750 0",
          `${LONG} file 644 1000`,
          "empty file 644 0",
          "pg_tblspc/16385 symlink 644 0",
          "again hardlink 644 0",
          "pipe other 644 0",
          "block file 644 512",
        ]);
        assert.ok(found.every(({ complete }) => complete));
        assert.equal(found[5]!.member.linkTarget, "/ts/one".repeat(20));
        assert.equal(found[6]!.member.linkTarget, "PG_VERSION");
      }),
      { numRuns: 60 },
    );
  });

  test(`a ${format} tar that is cut off is damage wherever it is cut`, () => {
    // Python fills the last record with zeros: only what lies before them is the tar.
    const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
    fc.assert(
      fc.property(fc.nat(end), (length) => {
        assert.throws(() => readTar([bytes.subarray(0, length)]), isDamage);
      }),
      { numRuns: 300 },
    );
  });
}

test("a header that does not add up, and what follows the end, are damage", () => {
  const bytes = pythonTar("PAX");
  const flipped = Buffer.from(bytes);
  flipped[2] = 1;
  assert.throws(() => readTar([flipped]), isDamage);
  assert.throws(() => readTar([bytes, bytes]), isDamage);
  assert.throws(() => readTar([Buffer.alloc(512, 65)]), isDamage);
});

const pythonBytes = pythonTar("PAX");

test("random bytes never do anything but throw BACKUP_DAMAGED", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), fc.nat(20_000), (noise, at) => {
      const bytes = Buffer.from(pythonBytes);
      bytes.set(noise.subarray(0, Math.max(0, bytes.length - at)), Math.min(at, bytes.length));
      try {
        readTar([bytes]);
      } catch (error) {
        assert.ok(isDamage(error), String(error));
      }
    }),
    { numRuns: 300 },
  );
});

test("only paths below the directory are paths", () => {
  assert.deepEqual(memberParts(".", "a"), []);
  assert.deepEqual(memberParts("./", "a"), []);
  assert.deepEqual(memberParts("./base//1/", "a"), ["base", "1"]);
  for (const path of ["/etc/passwd", "../x", "base/../../x", "base/..", "", "a\0b", "//", "/"])
    assert.throws(() => memberParts(path, "a"), isDamage, path);
});
