import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { combineShares, splitSecret } from "./shamir.ts";

suite("shares of a secret", () => {
  test("enough of them, in any order, give it back; fewer do not", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 16, maxLength: 40 }),
        fc.integer({ min: 2, max: 6 }),
        fc.nat(4),
        fc.nat(),
        (secret, threshold, more, seed) => {
          const shares = splitSecret(secret, { count: threshold + more, threshold }, (length) =>
            seededBytes(seed, length + threshold).subarray(0, length),
          );
          const some = shares.toReversed().slice(0, threshold);
          assert.deepEqual(combineShares(some), secret);
          assert.deepEqual(combineShares(shares), secret);
          if (threshold > 2) assert.notDeepEqual(combineShares(some.slice(1)), secret);
        },
      ),
    );
  });

  test("that do not belong together give nothing", () => {
    const [a, b] = splitSecret(seededBytes("s", 32), { count: 2, threshold: 2 }, (length) =>
      seededBytes("r", length),
    );
    assert.equal(combineShares([a!, a!]), undefined);
    assert.equal(combineShares([a!]), undefined);
    assert.equal(combineShares([a!, b!.subarray(1)]), undefined);
    assert.equal(combineShares([]), undefined);
  });
});
