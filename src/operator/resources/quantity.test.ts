// Quantities against what Kubernetes' own library says (apimachinery 0.36: ParseQuantity, String, Value).

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  QUANTITY_PATTERN,
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  parseQuantity,
} from "./quantity.ts";

/** As written, canonical, whole units. */
const KNOWN: readonly [string, string, bigint][] = [
  ["0", "0", 0n],
  ["0Gi", "0", 0n],
  ["1", "1", 1n],
  ["1Ki", "1Ki", 1024n],
  ["1024", "1024", 1024n],
  ["1024Ki", "1Mi", 1_048_576n],
  ["2048Mi", "2Gi", 2_147_483_648n],
  ["1.5Gi", "1536Mi", 1_610_612_736n],
  ["0.1Gi", "107374182400m", 107_374_183n],
  ["1.5Ki", "1536", 1536n],
  ["0.5", "500m", 1n],
  ["1000m", "1", 1n],
  ["1e3", "1e3", 1000n],
  ["1E", "1E", 1_000_000_000_000_000_000n],
  ["1.5e3", "1500", 1500n],
  ["1000k", "1M", 1_000_000n],
  ["1500M", "1500M", 1_500_000_000n],
  ["0.1n", "1n", 1n],
  ["0.9u", "900n", 1n],
  ["-1Gi", "-1Gi", -1_073_741_824n],
  ["-1.5Ki", "-1536", -1536n],
  ["-1500m", "-1500m", -2n],
  [".5Gi", "512Mi", 536_870_912n],
  ["16Ei", "9223372036854775807", 9_223_372_036_854_775_807n],
  ["7Ei", "7Ei", 8_070_450_532_247_928_832n],
  ["1e-3", "1e-3", 1n],
  ["1e-12", "1e-9", 1n],
  ["1.0001Ki", "1024102400u", 1025n],
  ["1.25Mi", "1280Ki", 1_310_720n],
  ["1000", "1k", 1000n],
  ["1e05", "100e3", 100_000n],
];

test("quantities are what Kubernetes makes of them", () => {
  for (const [text, canonical, units] of KNOWN) {
    // 1.5Ki is binary and whole: the library writes 1536 because it does not divide by 1,024.
    assert.equal(canonicalQuantity(text), canonical, text);
    assert.equal(parseQuantity(text), units, text);
    assert.match(text, QUANTITY_PATTERN);
  }
  assert.equal(parseQuantity(5), 5n);
});

test("sizes that are written differently are the same", () => {
  assert.equal(compareQuantities("1Gi", "1024Mi"), 0);
  assert.equal(compareQuantities("1Gi", "1G"), 1);
  assert.equal(compareQuantities("999m", 1), -1);
});

test("what is no quantity is refused with its text", () => {
  for (const text of ["", "Gi", "1 Gi", "1gi", "ten", "1e1.5", "1.2.3", "--1", "9".repeat(200)]) {
    assert.throws(() => parseQuantity(text), { code: "RESOURCE_INVALID" }, text);
  }
});

test("exponents beyond all bounds cost nothing", () => {
  assert.equal(parseQuantity("1e999999999"), (1n << 63n) - 1n);
  assert.equal(parseQuantity("1e-999999999"), 1n);
});

test("every size comes back from its canonical form", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: (1n << 63n) - 1n }), (bytes) => {
      assert.equal(parseQuantity(formatQuantity(bytes)), bytes);
      assert.equal(parseQuantity(formatQuantity(bytes, "decimal")), bytes);
      assert.equal(parseQuantity(formatQuantity(bytes, "exponent")), bytes);
    }),
  );
  assert.equal(formatQuantity(1n << 30n), "1Gi");
});
