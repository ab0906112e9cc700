import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ReadLedger } from "./read-ledger.ts";

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 10, 26, 12);
const folder = await mkdtemp(join(tmpdir(), "holdfast-ledger-"));
after(() => rm(folder, { recursive: true }));

test("what was read counts for 30 days, whichever run read it", async () => {
  const path = join(folder, "deep", "reads");
  const ledger = await ReadLedger.load(path);
  ledger.add(1000, NOW - 30 * DAY);
  ledger.add(100, NOW - 29 * DAY);
  ledger.add(10, NOW - DAY);
  ledger.add(1, NOW);
  ledger.add(1, NOW);
  assert.equal(ledger.readInMonth(NOW), 112);
  assert.equal(await ledger.save(NOW), true);
  const again = await ReadLedger.load(path);
  assert.equal(again.readInMonth(NOW), 112);
  assert.equal(again.readInMonth(NOW + DAY), 12);
  assert.equal(again.readInMonth(NOW + 40 * DAY), 0);
  await again.save(NOW + 35 * DAY);
  assert.equal(await readFile(path, "utf8"), "{}\n", "what is too old goes");
});

test("tells when there is room again", () => {
  const ledger = new ReadLedger(join(folder, "none"));
  assert.equal(ledger.roomAt(1, NOW), NOW);
  ledger.add(60, NOW - 10 * DAY);
  ledger.add(60, NOW);
  assert.equal(ledger.roomAt(121, NOW), NOW);
  assert.equal(ledger.roomAt(100, NOW), Date.UTC(2026, 11, 16), "when the 16th leaves the month");
  assert.ok(ledger.roomAt(0, NOW) > NOW, "ends also where there never is");
});

test("a file that is damaged or cannot be written is no reason to fail", async () => {
  const path = join(folder, "damaged");
  for (const text of ["", "[1]", "null", '{"2026-11-26":-5,"2026-11-25":"x","today":7}', "{"]) {
    await writeFile(path, text);
    assert.equal((await ReadLedger.load(path)).readInMonth(NOW), 0, text);
  }
  const ledger = new ReadLedger(join(path, "below a file"));
  ledger.add(1, NOW);
  assert.equal(await ledger.save(NOW), false);
});
