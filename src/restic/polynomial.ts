// Polynomials over GF(2) as bigints (bit i is the coefficient of x^i): the repository's chunker polynomial,
// docs/formats/restic.md#chunker. Arithmetic for opening and creating a repository, never per byte.

import { HoldfastError } from "../base/errors.ts";

/** Degree of every repository's chunker polynomial. */
export const POLYNOMIAL_DEGREE = 53;

/** About one odd polynomial in 27 is irreducible: this many failures mean a broken random source. */
const TRIES_MAX = 10_000;

/** Degree of `a`; -1 for zero. */
export function polynomialDegree(a: bigint): number {
  return a === 0n ? -1 : a.toString(2).length - 1;
}

/** Remainder of `a` divided by `b`. Throws RangeError when `b` is zero. */
export function polynomialRemainder(a: bigint, b: bigint): bigint {
  const degree = polynomialDegree(b);
  if (degree < 0) throw new RangeError("division by the zero polynomial");
  let rest = a;
  for (let excess = polynomialDegree(rest) - degree; excess >= 0;) {
    rest ^= b << BigInt(excess);
    excess = polynomialDegree(rest) - degree;
  }
  return rest;
}

/** `a` · `b` mod `modulus`. */
export function polynomialProduct(a: bigint, b: bigint, modulus: bigint): bigint {
  let product = 0n;
  for (let shifted = a, rest = b; rest !== 0n; shifted <<= 1n, rest >>= 1n) {
    if ((rest & 1n) === 1n) product ^= shifted;
  }
  return polynomialRemainder(product, modulus);
}

/** Greatest common divisor. */
export function polynomialDivisor(a: bigint, b: bigint): bigint {
  let [larger, smaller] = [a, b];
  while (smaller !== 0n) [larger, smaller] = [smaller, polynomialRemainder(larger, smaller)];
  return larger;
}

/**
 * True when `a` has no divisor but itself and 1. Ben-Or's test: x^(2^i) - x is the product of all irreducible
 * polynomials whose degree divides i, so a divisor of degree i shows in a common divisor with it.
 */
export function isIrreducible(a: bigint): boolean {
  const degree = polynomialDegree(a);
  if (degree < 1) return false;
  let power = 2n;
  for (let i = 1; i <= degree / 2; i++) {
    power = polynomialProduct(power, power, a);
    if (polynomialDivisor(a, power ^ 2n) !== 1n) return false;
  }
  return true;
}

/** A random irreducible polynomial of degree 53, chosen as restic does from the bytes of `random`. */
export function derivePolynomial(random: (length: number) => Uint8Array): bigint {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const bytes = random(8);
    const drawn = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
    const candidate = BigInt.asUintN(POLYNOMIAL_DEGREE, drawn) | (1n << 53n) | 1n;
    if (isIrreducible(candidate)) return candidate;
  }
  throw new HoldfastError("BUG", "the random source yields no irreducible polynomial");
}

/** A polynomial as a repository's config writes it: lowercase hex, no prefix. */
export function formatPolynomial(polynomial: bigint): string {
  return polynomial.toString(16);
}

/**
 * Reads `chunker_polynomial` of a config. Throws REPO_CONFIG_DAMAGED when it is not hex or not irreducible (equal
 * data would be cut at bad places), REPO_UNSUPPORTED when it is irreducible of another degree.
 */
export function parsePolynomial(text: string): bigint {
  if (!/^[0-9a-fA-F]{1,16}$/.test(text)) {
    throw new HoldfastError(
      "REPO_CONFIG_DAMAGED",
      "the config's chunker polynomial is not a hex number",
    );
  }
  const polynomial = BigInt(`0x${text}`);
  if (!isIrreducible(polynomial)) {
    throw new HoldfastError(
      "REPO_CONFIG_DAMAGED",
      "the config's chunker polynomial is not irreducible",
    );
  }
  const degree = polynomialDegree(polynomial);
  if (degree !== POLYNOMIAL_DEGREE) {
    throw new HoldfastError(
      "REPO_UNSUPPORTED",
      `the config's chunker polynomial has degree ${degree}, not ${POLYNOMIAL_DEGREE}`,
    );
  }
  return polynomial;
}
