import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { KnownRows } from "./known-rows.ts";

test("it holds what a Map holds, whatever is set and removed in whatever order", () => {
  const action = fc.record({
    id: fc.oneof(
      fc.integer({ min: 1, max: 40 }),
      fc.constantFrom(1024, 2048, 3072, 1025, 2 ** 31 - 1),
    ),
    remove: fc.boolean(),
    xmin: fc.integer({ min: 3, max: 2 ** 32 - 1 }),
  });
  fc.assert(
    fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
      const rows = new KnownRows();
      const model = new Map<number, number>();
      for (const { id, remove, xmin } of actions) {
        if (remove) {
          rows.remove(id);
          model.delete(id);
        } else {
          rows.set(id, xmin, xmin * 2, 1);
          model.set(id, xmin);
        }
        assert.equal(rows.size, model.size);
      }
      for (const [id, xmin] of model) {
        const slot = rows.find(id);
        assert.ok(slot >= 0, `${id} is there`);
        assert.equal(rows.xmin(slot), xmin);
        assert.equal(rows.print(slot), xmin * 2);
      }
      assert.deepEqual(
        [...rows.without(0)].toSorted((a, b) => a - b),
        [...model.keys()].toSorted((a, b) => a - b),
      );
      assert.deepEqual([...rows.without(1)], []);
    }),
  );
});

test("it grows, and numbers that are not there are not found", () => {
  const rows = new KnownRows();
  for (let id = 2; id <= 20_000; id += 2) rows.set(id, id, id);
  for (let id = 1; id <= 20_000; id++) assert.equal(rows.find(id) >= 0, id % 2 === 0);
  for (let id = 4; id <= 20_000; id += 4) rows.remove(id);
  for (let id = 1; id <= 20_000; id++) assert.equal(rows.find(id) >= 0, id % 4 === 2);
  assert.equal(rows.size, 5000);
});
