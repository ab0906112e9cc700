import assert from "node:assert/strict";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { isHoldfastError } from "../../base/errors.ts";
import { seededBytes } from "../../../test/seeded-bytes.ts";
import { claimSpool, type OpenedSpool } from "./spool.ts";
import type { SpoolIdentity } from "./spool-file.ts";

const root = mkdtempSync(join(tmpdir(), "holdfast-spool-"));
after(() => rmSync(root, { recursive: true, force: true }));

const identity: SpoolIdentity = { systemId: "7712301317132266042", segmentSize: 1 << 20 };
const place = { timeline: 2, segment: 0x1234 };
const NAME = "000000020000000100000234";
const wal = seededBytes("spool", identity.segmentSize);
let folders = 0;
const newFolder = (): string => join(root, `spool ${(folders += 1)}`);

/** Opens the spool, runs `work` and leaves the folder as a process that dies would: closing makes nothing safe. */
async function within<T>(
  folder: string,
  work: (opened: OpenedSpool, damaged: string[]) => Promise<T>,
  whose: SpoolIdentity = identity,
): Promise<T> {
  const claim = await claimSpool(folder);
  const damaged: string[] = [];
  let opened: OpenedSpool | undefined;
  try {
    opened = await claim.open(whose, (path) => damaged.push(path));
    return await work(opened, damaged);
  } finally {
    await (opened?.spool ?? claim).close();
  }
}

void test("what was noted as safe counts after a death, and no more", async () => {
  const folder = newFolder();
  await within(folder, async ({ spool }) => {
    const file = await spool.create(place);
    assert.equal(file.name, NAME);
    await file.write(0, wal.subarray(0, 5000));
    await file.sync();
    await file.write(5000, wal.subarray(5000, 9000));
    assert.deepEqual([file.written, file.synced], [9000, 5000]);
  });
  await within(folder, async ({ begun, complete, spool }) => {
    assert.equal(complete.length, 0);
    const [file] = begun;
    assert.ok(file);
    assert.deepEqual(
      [file.timeline, file.segment, file.written, file.synced],
      [2, 0x1234, 5000, 5000],
    );
    assert.equal(spool.bytes, identity.segmentSize);
    const stored = await file.read(5000);
    assert.equal(stored.length, identity.segmentSize);
    assert.ok(stored.subarray(0, 5000).equals(wal.subarray(0, 5000)));
    assert.ok(
      stored.subarray(5000).every((byte) => byte === 0),
      "the rest is zeros",
    );
    // The same once more, then what is new.
    await file.write(0, wal.subarray(0, 100_000));
    await file.write(50_000, wal.subarray(50_000));
    await file.complete();
    assert.ok(file.isComplete);
  });
  await within(folder, async ({ begun, complete, spool }) => {
    assert.equal(begun.length, 0);
    assert.ok((await complete[0]!.read(identity.segmentSize)).equals(wal));
    await spool.remove(complete[0]!);
    assert.equal(spool.bytes, 0);
  });
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith("0")),
    [],
  );
});

void test("a server that tells it another way, and a gap, are refused", async () => {
  await within(newFolder(), async ({ spool }) => {
    const file = await spool.create(place);
    await file.write(0, wal.subarray(0, 5000));
    const other = Buffer.from(wal.subarray(0, 6000));
    other[4999] = other[4999]! ^ 1;
    const differs = (error: unknown): boolean => isHoldfastError(error, "WAL_DIFFERS");
    await assert.rejects(file.write(0, other), differs);
    await assert.rejects(file.write(6000, wal.subarray(6000)), (error) =>
      isHoldfastError(error, "BUG"),
    );
    await assert.rejects(file.complete(), (error) => isHoldfastError(error, "BUG"));
    assert.equal(file.written, 5000);
  });
});

void test("a note that is damaged, cut off or of another segment vouches for nothing", async () => {
  const size = identity.segmentSize;
  const harms: readonly ((bytes: Buffer) => Buffer)[] = [
    (bytes) => bytes.subarray(0, -1),
    (bytes) => (bytes.writeUInt32LE(9000, size + 32), bytes),
    (bytes) => (bytes.fill(0, size), bytes),
  ];
  for (const harm of harms) {
    const folder = newFolder();
    await within(folder, async ({ spool }) => {
      const begun = await spool.create(place);
      await begun.write(0, wal.subarray(0, 5000));
      await begun.sync();
      const whole = await spool.create({ timeline: 2, segment: 0x1235 });
      await whole.write(0, wal);
      await whole.complete();
    });
    for (const name of [`${NAME}.open`, "000000020000000100000235"]) {
      const path = join(folder, name);
      writeFileSync(path, harm(readFileSync(path)));
    }
    await within(folder, ({ begun, complete }, damaged) => {
      assert.deepEqual([begun.length, complete.length], [0, 0]);
      assert.deepEqual(damaged, [join(folder, "000000020000000100000235.damaged")]);
      return Promise.resolve();
    });
  }
  // Under another name.
  const folder = newFolder();
  await within(folder, async ({ spool }) => {
    const file = await spool.create(place);
    await file.write(0, wal);
    await file.complete();
  });
  writeFileSync(join(folder, "000000020000000100000236"), readFileSync(join(folder, NAME)));
  await within(folder, ({ complete }, damaged) => {
    assert.deepEqual(
      complete.map(({ name }) => name),
      [NAME],
    );
    assert.equal(damaged.length, 1);
    return Promise.resolve();
  });
});

void test("a folder with WAL of another cluster, or of other segments, is refused and left as it is", async () => {
  const folder = newFolder();
  await within(folder, async ({ spool }) => {
    const file = await spool.create(place);
    await file.write(0, wal.subarray(0, 5000));
    await file.sync();
  });
  const before = statSync(join(folder, `${NAME}.open`)).size;
  for (const other of [
    { ...identity, systemId: "1" },
    { ...identity, segmentSize: 16 << 20 },
  ]) {
    const opening = within(folder, () => Promise.resolve(), other);
    await assert.rejects(opening, (error) => isHoldfastError(error, "ARCHIVE_FOREIGN"));
  }
  assert.equal(statSync(join(folder, `${NAME}.open`)).size, before);
  // Without WAL it is nobody's.
  rmSync(join(folder, `${NAME}.open`));
  await within(folder, () => Promise.resolve(), { ...identity, systemId: "1" });
});

void test("one receiver at a time; the folder is private, and a link in it is not followed", async () => {
  const folder = newFolder();
  const claim = await claimSpool(folder);
  await assert.rejects(claimSpool(folder), (error) => isHoldfastError(error, "USAGE"));
  await claim.close();
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  const target = join(root, "target");
  writeFileSync(target, wal);
  symlinkSync(target, join(folder, NAME));
  await assert.rejects(
    within(folder, () => Promise.resolve()),
    (error) => isHoldfastError(error, "STORAGE_FAILED"),
  );
  assert.ok(readFileSync(target).equals(wal));
});
