// How many packs are in memory while others are being stored, and that those that are full wait for room.

import assert from "node:assert/strict";
import test from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { memoryRepository } from "../../../test/memory-repository.ts";
import { seededBytes } from "../../../test/seeded-bytes.ts";
import { faulty } from "../../storage/faulty.ts";
import { seal } from "../../restic/crypto.ts";
import { SealedPacks } from "./sealed-packs.ts";

const PACK_BYTES = 1000;

/** Packs of a repository of which the first to be stored is held until `release`; each blob fills one. */
function heldPacks(isFrugal: boolean): {
  packs: SealedPacks;
  add: () => void;
  release: () => void;
} {
  const held = Promise.withResolvers<void>();
  const { repository } = memoryRepository({
    around: (storage) =>
      faulty(storage, [{ on: "put", key: /^data/, fault: { kind: "hold", until: held.promise } }]),
  });
  const packs = new SealedPacks({ repository, packSize: PACK_BYTES, isFrugal });
  let number = 0;
  const add = (): void => {
    const name = `blob ${number++}`;
    const sealed = seal(repository.key, seededBytes(name, PACK_BYTES), seededBytes(name, 16));
    packs.add({ type: "data", id: seededBytes(name, 32), uncompressedLength: 0 }, sealed);
  };
  return { packs, add, release: () => held.resolve() };
}

for (const isFrugal of [false, true]) {
  test(`${isFrugal ? "no pack is opened" : "one pack more is filled"} while one is being stored`, async () => {
    const { packs, add, release } = heldPacks(isFrugal);
    assert.equal(packs.isFull(false, 10), false);
    add();
    // The first pack is full and on its way.
    assert.equal(packs.isFull(false, 10), isFrugal);
    if (!isFrugal) {
      add();
      assert.equal(packs.isFull(false, 10), false, "a third one has not been opened yet");
    }
    let hasRoom = false;
    const room = packs.room().then(() => (hasRoom = true));
    for (let turns = 0; turns < 5; turns++) await turn();
    assert.equal(hasRoom, false);
    release();
    await room;
    assert.equal(packs.isFull(false, 10), false);
    add();
    await packs.finish();
    assert.equal(packs.count, isFrugal ? 2 : 3);
  });
}
