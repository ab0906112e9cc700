// Directories dumped by real restic and by us: tars must be the same byte by byte, zips in all but the compressed bytes.

import { execFileSync } from "node:child_process";
import { linkSync, mkdirSync, symlinkSync, utimesSync, writeFileSync, chmodSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import assert from "node:assert/strict";
import { inflateRawSync } from "node:zlib";
import { peer } from "../peers.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { resticFolder } from "./restic-folder.ts";
import type { ResticFolder } from "./restic-folder.ts";

const restic = peer("restic-newest");
const PROGRAM = join(import.meta.dirname, "..", "..", "bin", "holdfast");
const LONG = "x".repeat(90);

let folder: ResticFolder;

before(async () => {
  if (restic.skip !== false) return;
  folder = await resticFolder("restic-newest");
  const at = (...path: string[]): string => join(folder.source, ...path);
  mkdirSync(at(LONG, LONG, `${LONG}y`), { recursive: true });
  mkdirSync(at("empty"));
  chmodSync(at("empty"), 0o1777);
  writeFileSync(at("nothing"), "");
  writeFileSync(at("big"), seededBytes("big", 3_000_000));
  chmodSync(at("big"), 0o4750);
  linkSync(at("big"), at("hard"));
  writeFileSync(at("zeros"), Buffer.alloc(2_000_000));
  writeFileSync(at("block"), Buffer.alloc(1024, 1));
  writeFileSync(at("ä <&>"), "umlaut");
  writeFileSync(Buffer.from(`${folder.source}/raw\xff\t`, "latin1"), "raw");
  writeFileSync(at(LONG, "file"), "short enough to be divided");
  writeFileSync(at(LONG, LONG, LONG), "too long");
  writeFileSync(at(LONG, LONG, `${LONG}y`, LONG), "much too long");
  symlinkSync("nothing", at("link"));
  symlinkSync(`${LONG}/${LONG}`, at("longlink"));
  symlinkSync(Buffer.from("to\xfe", "latin1"), at("rawlink"));
  utimesSync(at("nothing"), -315_619_199.5, -315_619_199.5);
  utimesSync(at("block"), 1_700_000_000.5, 1_700_000_000.5);
  utimesSync(at("zeros"), 2 ** 33 + 5, 2 ** 33 + 5);
  folder.restic("backup", folder.source);
});
after(() => folder?.[Symbol.dispose]());

function dump(program: string, words: readonly string[], zone: string): Buffer {
  const env = {
    PATH: process.env["PATH"],
    HOLDFAST_NODE: process.execPath,
    HOME: folder.path,
    TZ: zone,
    RESTIC_REPOSITORY: folder.repository,
    RESTIC_PASSWORD: "interop",
  };
  return execFileSync(program, ["dump", ...words], { env, maxBuffer: 2 ** 28 });
}

/** What a zip says of its entries, from the directory at its end and from their own headers, and what is in them. */
function readZip(zip: Buffer): object[] {
  const end = zip.lastIndexOf(Buffer.from("PK\x05\x06", "latin1"));
  const count = zip.readUInt16LE(end + 10);
  const entries: object[] = [];
  let at = zip.readUInt32LE(end + 16);
  for (let i = 0; i < count; i++) {
    const lengths = [28, 30, 32].map((field) => zip.readUInt16LE(at + field));
    const [name = 0, extra = 0, comment = 0] = lengths;
    const compressed = zip.readUInt32LE(at + 20);
    const local = zip.readUInt32LE(at + 42);
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
    const stored = zip.subarray(start, start + compressed);
    const method = zip.readUInt16LE(at + 10);
    entries.push({
      versions: zip.toString("hex", at + 4, at + 20),
      sizes: zip.readUInt32LE(at + 24),
      attributes: zip.toString("hex", at + 34, at + 42),
      names: zip.toString("latin1", at + 46, at + 46 + name + extra + comment),
      local: zip.toString("latin1", local, start),
      content: (method === 8 ? inflateRawSync(stored) : stored).toString("hex"),
      // Sizes of what is compressed are its own.
      descriptor: zip.toString("hex", start + compressed, start + compressed + 8),
    });
    at += 46 + name + extra + comment;
  }
  assert.equal(at, end);
  return entries;
}

suite("directories as archives", { skip: restic.skip }, () => {
  const inside = (): string => `latest:${folder.source}`;
  const cases: readonly [what: string, words: () => string[]][] = [
    ["a whole snapshot", () => ["latest", "/"]],
    ["a directory by its path", () => ["latest", folder.source]],
    ["the directory that the snapshot was narrowed to", () => [inside(), "/"]],
    ["a directory in it, with a slash too many", () => [inside(), `${LONG}//${LONG}/`]],
    ["an empty directory", () => [inside(), "empty"]],
  ];
  for (const [what, words] of cases) {
    test(`${what} as a tar`, () => {
      const [theirs, ours] = [restic.path, PROGRAM].map((program) => dump(program, words(), "UTC"));
      assert.ok(ours!.equals(theirs!));
    });

    test(`${what} as a zip`, () => {
      const [theirs, ours] = [restic.path, PROGRAM].map((program) =>
        dump(program, ["--archive", "zip", ...words()], "Europe/Berlin"),
      );
      assert.deepEqual(readZip(ours!), readZip(theirs!));
    });
  }
});
