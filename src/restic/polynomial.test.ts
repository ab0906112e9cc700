import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { isHoldfastError } from "../base/errors.ts";
import {
  derivePolynomial,
  formatPolynomial,
  isIrreducible,
  parsePolynomial,
  polynomialDegree,
  polynomialDivisor,
  polynomialProduct,
  polynomialRemainder,
} from "./polynomial.ts";

/** What restic's own tests use. */
const KNOWN = 0x3da3358b4dc173n;
const polynomials = fc.bigInt({ min: 0n, max: (1n << 60n) - 1n });
const divisors = fc.bigInt({ min: 1n, max: (1n << 30n) - 1n });
const BEYOND = 1n << 200n;

suite("arithmetic over GF(2)", () => {
  test("degrees", () => {
    assert.deepEqual([0n, 1n, 2n, 3n, KNOWN].map(polynomialDegree), [-1, 0, 1, 1, 53]);
  });

  test("a remainder is smaller than the divisor, and what it leaves is a multiple", () => {
    fc.assert(
      fc.property(polynomials, divisors, (a, b) => {
        const rest = polynomialRemainder(a, b);
        assert.ok(polynomialDegree(rest) < polynomialDegree(b));
        assert.equal(polynomialRemainder(a ^ rest, b), 0n);
      }),
    );
    assert.throws(() => polynomialRemainder(5n, 0n), RangeError);
  });

  test("products distribute over sums", () => {
    fc.assert(
      fc.property(polynomials, polynomials, divisors, (a, b, c) => {
        const apart = polynomialProduct(a, c, BEYOND) ^ polynomialProduct(b, c, BEYOND);
        assert.equal(polynomialProduct(a ^ b, c, BEYOND), apart);
      }),
    );
  });

  test("the greatest common divisor divides both and holds every common factor", () => {
    fc.assert(
      fc.property(divisors, divisors, divisors, (a, b, factor) => {
        const [x, y] = [polynomialProduct(a, factor, BEYOND), polynomialProduct(b, factor, BEYOND)];
        const divisor = polynomialDivisor(x, y);
        assert.equal(polynomialRemainder(x, divisor), 0n);
        assert.equal(polynomialRemainder(y, divisor), 0n);
        assert.equal(polynomialRemainder(divisor, factor), 0n);
      }),
    );
  });
});

suite("irreducible polynomials", () => {
  test("agree with trial division for every polynomial below degree 10", () => {
    for (let a = 2n; a < 1024n; a++) {
      let divisible = false;
      for (let b = 2n; polynomialDegree(b) * 2 <= polynomialDegree(a); b++) {
        divisible ||= polynomialRemainder(a, b) === 0n;
      }
      assert.equal(isIrreducible(a), !divisible, a.toString(2));
    }
    assert.equal(isIrreducible(0n), false);
    assert.equal(isIrreducible(1n), false);
  });

  test("a product is found out, whatever the degree of its factors", () => {
    assert.ok(isIrreducible(KNOWN));
    fc.assert(
      fc.property(divisors, divisors, (a, b) => {
        fc.pre(a > 1n && b > 1n);
        assert.equal(isIrreducible(polynomialProduct(a, b, BEYOND)), false);
      }),
    );
  });

  test("derived ones have degree 53, are odd, irreducible and depend on the random bytes", () => {
    const derived = ["a", "b", "c"].map((seed) => {
      let draws = 0;
      return derivePolynomial((length) => seededBytes(`${seed} ${draws++}`, length));
    });
    for (const polynomial of derived) {
      assert.equal(polynomialDegree(polynomial), 53);
      assert.equal(polynomial & 1n, 1n);
      assert.ok(isIrreducible(polynomial));
      assert.equal(parsePolynomial(formatPolynomial(polynomial)), polynomial);
    }
    assert.equal(new Set(derived).size, 3);
  });

  test("the random bytes are taken as restic takes them: little-endian, bits from 53 replaced", () => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE((KNOWN ^ (1n << 53n) ^ 1n) | (0x3ffn << 54n));
    assert.equal(
      derivePolynomial(() => bytes),
      KNOWN,
    );
  });

  test("a random source that never varies ends in an error", () => {
    assert.throws(
      () => derivePolynomial((length) => new Uint8Array(length)),
      (error) => isHoldfastError(error, "BUG"),
    );
  });
});

suite("the config's text", () => {
  test("is plain lowercase hex", () => {
    assert.equal(formatPolynomial(KNOWN), "3da3358b4dc173");
    assert.equal(parsePolynomial("3da3358b4dc173"), KNOWN);
    assert.equal(parsePolynomial("3DA3358B4DC173"), KNOWN);
  });

  test("is refused when damaged", () => {
    for (const text of [
      "",
      "0x3da3358b4dc173",
      "3da3358b4dc172",
      "xyz",
      "0",
      "1",
      "f".repeat(17),
    ]) {
      assert.throws(
        () => parsePolynomial(text),
        (error) => isHoldfastError(error, "REPO_CONFIG_DAMAGED"),
        text,
      );
    }
  });

  test("is unsupported when irreducible of another degree", () => {
    assert.throws(
      () => parsePolynomial("11b"),
      (error) => isHoldfastError(error, "REPO_UNSUPPORTED"),
    );
  });
});
