import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { memoryRepository } from "../../test/memory-repository.ts";
import type { Id } from "../base/bytes.ts";
import { encodeIndexFile, listIndexFile } from "../restic/index-file.ts";
import { loadIndex } from "./index-loader.ts";
import { planIndexRewrite, writeIndexFiles } from "./index-rewrite.ts";
import type { IndexListing } from "./index-rewrite.ts";
import { PackTable } from "./pack-table.ts";
import type { Repository } from "./repository.ts";

const idOf = (n: number): Id => n.toString(16).padStart(64, "0");

/** A repository of index files that list these packs, each with two blobs. */
async function indexed(
  files: readonly (readonly number[])[],
): Promise<{ repository: Repository; table: PackTable; listings: IndexListing[] }> {
  const { repository } = memoryRepository();
  for (const packs of files) {
    const listed = packs.map((pack) => ({
      id: idOf(pack),
      blobs: [0, 1].map((i) => ({
        type: "data" as const,
        id: idOf(1000 * pack + i),
        offset: 100 * i,
        length: 100,
        uncompressedLength: 70 * i,
      })),
    }));
    await repository.save("index", encodeIndexFile(listed));
  }
  const listings: IndexListing[] = [];
  const { index } = await loadIndex(repository, {
    onFile: (id, { begin, end }) => listings.push({ id, begin, end }),
  });
  return { repository, table: new PackTable(index), listings };
}

async function packsIn(repository: Repository): Promise<Map<Id, Id[]>> {
  const found = new Map<Id, Id[]>();
  for (const { id } of await repository.list("index")) {
    const packs = listIndexFile(await repository.load("index", id));
    found.set(
      id,
      packs.map((pack) => pack.id),
    );
  }
  return found;
}

test("afterwards each pack that stays is listed once, and no other", async () => {
  const files = fc.array(fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { maxLength: 5 }), {
    maxLength: 6,
  });
  const leaving = fc.uniqueArray(fc.integer({ min: 1, max: 12 }));
  await fc.assert(
    fc.asyncProperty(files, leaving, async (listed, going) => {
      const { repository, table, listings } = await indexed(listed);
      const numbers = going.map((pack) => table.numberOf(idOf(pack)));
      const gone = new Set(numbers.filter((number) => number !== undefined));
      const { obsolete, packs } = planIndexRewrite({ table, listings, gone });
      await writeIndexFiles(repository, table, packs);
      // Before old files go, everything is still there.
      const all = new Set([...(await packsIn(repository)).values()].flat());
      for (const pack of listed.flat()) assert.ok(all.has(idOf(pack)));
      for (const id of obsolete) await repository.remove("index", id);
      const left = [...(await packsIn(repository)).values()].flat().toSorted();
      const wanted = new Set(listed.flat().filter((pack) => !going.includes(pack)));
      assert.deepEqual(left, [...wanted].map(idOf).toSorted());
    }),
    { numRuns: 60 },
  );
});

test("entries are written as they were", async () => {
  const { repository, table, listings } = await indexed([[1, 2], [3]]);
  const before = table.packs.map((pack) => table.index.packs[pack]!);
  const { packs, obsolete } = planIndexRewrite({ table, listings, gone: new Set() });
  assert.equal(obsolete.length, 2, "small files are merged");
  const [written] = await writeIndexFiles(repository, table, packs);
  const listed = listIndexFile(await repository.load("index", written!));
  assert.deepEqual(listed.map(({ id }) => id).toSorted(), before.toSorted());
  assert.deepEqual(listed.find(({ id }) => id === idOf(3))?.blobs[1], {
    type: "data",
    id: idOf(3001),
    offset: 100,
    length: 100,
    uncompressedLength: 70,
  });
});

test("a single file is left alone when nothing of it goes", async () => {
  const { table, listings } = await indexed([[1, 2]]);
  assert.deepEqual(planIndexRewrite({ table, listings, gone: new Set() }), {
    obsolete: [],
    packs: [],
  });
});
