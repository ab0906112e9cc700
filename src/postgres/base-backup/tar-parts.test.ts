import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { TarMember } from "../../barman/tar-header.ts";
import { TarReader } from "../../barman/tar-reader.ts";
import { TarParts } from "./tar-parts.ts";

const member = (path: string, size = 0, more: Partial<TarMember> = {}): TarMember => ({
  path,
  size,
  type: "file",
  mode: 0o600,
  uid: 26,
  gid: 27,
  mtime: 1_700_000_000,
  linkTarget: "",
  ...more,
});

const link = (path: string): TarMember => member(path, 0, { type: "symlink", linkTarget: "/ts" });

async function write(members: readonly TarMember[], partBytes = 1 << 20): Promise<Buffer[]> {
  const made: Buffer[][] = [];
  let running = 0;
  const parts = new TarParts({
    open: (part) => {
      const bytes: Buffer[] = [];
      made[part] = bytes;
      running++;
      return {
        write: async (piece) => await Promise.resolve(void bytes.push(Buffer.from(piece))),
        end: async () => {
          assert.ok(running <= 2, "at most one part is ending while another one is written");
          await Promise.resolve();
          running--;
        },
      };
    },
    partBytes,
    rootMode: 0o700,
    now: 1_800_000_000,
  });
  for (const each of members) {
    await parts.begin(each);
    for (let at = 0; at < each.size; at += 1000)
      await parts.content(Buffer.alloc(Math.min(1000, each.size - at), each.path));
    await parts.end(each);
  }
  await parts.close();
  assert.equal(running, 0);
  assert.equal(parts.count, made.length);
  return made.map((bytes) => Buffer.concat(bytes));
}

function read(tar: Buffer): TarMember[] {
  const reader = new TarReader("a part");
  const found: TarMember[] = [];
  for (const event of reader.push(tar)) if (event.kind === "end") found.push(event.member);
  reader.finish();
  return found;
}

test("every part is a tar of its own, and together they are what was sent, behind the directory itself", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(5000), { maxLength: 30 }),
      fc.integer({ min: 1024, max: 20_000 }),
      async (sizes, partBytes) => {
        const members = sizes.map((size, i) => member(`base/1/${i}`, size));
        const parts = await write(members, partBytes);
        const [root, ...rest] = parts.flatMap(read);
        assert.deepEqual([root?.path, root?.type, root?.mode], ["./", "directory", 0o700]);
        assert.deepEqual(rest, members);
        for (const part of parts) {
          // More than that only for a single member, or the directory and one.
          const over = part.length - 1024 - partBytes;
          if (over > 512) assert.ok(read(part).filter(({ path }) => path !== "./").length === 1);
        }
      },
    ),
    { numRuns: 100 },
  );
});

test("a file larger than a part is not divided", async () => {
  const parts = await write([member("a", 10), member("b", 50_000), member("c", 10)], 4096);
  assert.deepEqual(
    parts.map((part) => read(part).map(({ path }) => path)),
    [["./", "a"], ["b"], ["c"]],
  );
});

test("links to tablespaces are left out, and no other", async () => {
  const members = [
    member("pg_tblspc", 0, { type: "directory" }),
    link("pg_tblspc/16385"),
    link("./pg_tblspc/99"),
    link("pg_tblspc/other"),
    link("x/pg_tblspc/1"),
    member("pg_tblspc/16386", 5),
  ];
  const [part] = await write(members);
  const kept = read(part!).map(({ path }) => path);
  assert.deepEqual(kept, [
    "./",
    "pg_tblspc",
    "pg_tblspc/other",
    "x/pg_tblspc/1",
    "pg_tblspc/16386",
  ]);
});

test("the directory belongs to whom its files belong to, and nothing at all is still a tar", async () => {
  const [part] = await write([member("PG_VERSION", 3)]);
  assert.deepEqual([read(part!)[0]!.uid, read(part!)[0]!.gid], [26, 27]);
  const [empty, ...more] = await write([]);
  assert.deepEqual([read(empty!).length, more.length], [1, 0]);
});

test("what a sink throws is thrown", async () => {
  const full = new Error("full");
  const parts = new TarParts({
    open: () => ({ write: async () => await Promise.reject(full), end: async () => {} }),
    partBytes: 4096,
    rootMode: 0o700,
    now: 0,
  });
  await assert.rejects(parts.begin(member("a", 1)), full);
  const late = new TarParts({
    open: () => ({ write: async () => {}, end: async () => await Promise.reject(full) }),
    partBytes: 4096,
    rootMode: 0o700,
    now: 0,
  });
  await late.begin(member("a"));
  await assert.rejects(late.close(), full);
});
