import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { formatTarHeader, TAR_END, tarPadding, type TarMember } from "./tar-header.ts";
import { TarReader } from "./tar-reader.ts";

interface Found extends TarMember {
  readonly content: string;
}

function readAll(tar: Buffer, source = "a tar", endOptional = false): Found[] {
  const reader = new TarReader(source, { endOptional });
  const found: Found[] = [];
  let content = "";
  for (const event of reader.push(tar)) {
    if (event.kind === "member") content = "";
    else if (event.kind === "content") content += event.bytes.toString("latin1");
    else found.push({ ...event.member, content });
  }
  reader.finish();
  return found;
}

const member = (fields: Partial<TarMember> & { path: string }): TarMember => ({
  type: "file",
  size: 0,
  mode: 0o600,
  uid: 26,
  gid: 26,
  mtime: 1_700_000_000,
  linkTarget: "",
  ...fields,
});

function tarOf(members: readonly Found[]): Buffer {
  const parts = members.flatMap(({ content, ...each }) => [
    formatTarHeader(each),
    Buffer.from(content, "latin1"),
    Buffer.alloc(tarPadding(each.size)),
  ]);
  return Buffer.concat([...parts, TAR_END]);
}

test("what is written is read back", () => {
  const path = fc.string({
    unit: fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code)),
    minLength: 1,
    maxLength: 100,
  });
  const written = fc
    .record({
      path,
      content: fc.string({ unit: "binary-ascii", maxLength: 1500 }),
      mode: fc.integer({ min: 0, max: 0o7777 }),
      uid: fc.integer({ min: 0, max: 2 ** 31 }),
      mtime: fc.integer({ min: 0, max: 2 ** 34 }),
    })
    .map(({ content, ...fields }) => ({ ...member({ ...fields, size: content.length }), content }));
  fc.assert(
    fc.property(fc.array(written, { maxLength: 5 }), (members) =>
      assert.deepEqual(readAll(tarOf(members)), members),
    ),
    { numRuns: 200 },
  );
});

test("the system's tar reads what is written, and large sizes survive", () => {
  const directory = { ...member({ path: "./", type: "directory", mode: 0o700 }), content: "" };
  const file = { ...member({ path: "file", size: 5 }), content: "hello" };
  const listed = execFileSync("tar", ["-tvf", "-", "--utc", "--numeric-owner"], {
    input: tarOf([directory, file]),
    encoding: "utf8",
  });
  assert.match(
    listed,
    /^drwx------ 26\/26 +0 2023-11-14 22:13 \.\/\n-rw------- 26\/26 +5 2023-11-14 22:13 file\n$/,
  );
  const size = 2 ** 40 + 1;
  const [first] = new TarReader("x").push(formatTarHeader(member({ path: "large", size })));
  assert.equal(first?.kind === "member" && first.member.size, size);
});

test("where the end is optional, a tar may stop between members and nowhere else", () => {
  const file = { ...member({ path: "file", size: 700 }), content: "x".repeat(700) };
  const tar = tarOf([file, file]);
  const between = [0, 512 + 1024, 2 * (512 + 1024), 2 * (512 + 1024) + 512, tar.length];
  for (const length of [...between, ...Array.from({ length: 60 }, (_, i) => i * 61 + 1)]) {
    const cut = (): unknown => readAll(tar.subarray(0, length), "a tar", true);
    if (between.includes(length)) assert.doesNotThrow(cut);
    else if (length < tar.length) assert.throws(cut, { code: "BACKUP_DAMAGED" }, `${length}`);
  }
});
