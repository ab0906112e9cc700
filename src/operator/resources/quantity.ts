// Quantities of Kubernetes, as volumes and resources state them: `10Gi`, `1.5G`, `500m`, `1e3`. Parsed, compared and written as
// its own library does (apimachinery, resource.Quantity): exact to 10⁻⁹, finer fractions rounded up, nothing above 2⁶³−1.
//
// Pure. Never a floating point number on the way: capacities of claims are compared byte for byte.

import { HoldfastError } from "../../base/errors.ts";

/** What the API server accepts for a quantity that is a text: the pattern of every quantity in a CRD. */
export const QUANTITY_PATTERN: RegExp =
  /^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$/;

export type QuantityFormat = "binary" | "decimal" | "exponent";

const NANO = 1_000_000_000n;
const MAX_NANO = ((1n << 63n) - 1n) * NANO;
const DIGITS_MAX = 100;

const SCALE: Readonly<Record<string, { base: 2n | 10n; power: bigint }>> = {
  n: { base: 10n, power: -9n },
  u: { base: 10n, power: -6n },
  m: { base: 10n, power: -3n },
  "": { base: 10n, power: 0n },
  k: { base: 10n, power: 3n },
  M: { base: 10n, power: 6n },
  G: { base: 10n, power: 9n },
  T: { base: 10n, power: 12n },
  P: { base: 10n, power: 15n },
  E: { base: 10n, power: 18n },
  Ki: { base: 2n, power: 10n },
  Mi: { base: 2n, power: 20n },
  Gi: { base: 2n, power: 30n },
  Ti: { base: 2n, power: 40n },
  Pi: { base: 2n, power: 50n },
  Ei: { base: 2n, power: 60n },
};

const PARTS = /^([+-]?)(\d*)(?:\.(\d*))?(?:([eE])([+-]?\d+)|([KMGTPE]i|[numkMGTPE])?)$/;

interface Exact {
  /** In units of 10⁻⁹. */
  nano: bigint;
  format: QuantityFormat;
}

function exact(value: string | number): Exact {
  const text = String(value);
  const match = PARTS.exec(text);
  const [, sign = "", whole = "", fraction = "", exponentMark, exponent, suffix = ""] = match ?? [];
  if (match === null || whole + fraction === "" || text.length > DIGITS_MAX) throw invalid(text);
  let digits = BigInt(whole + fraction);
  let power = -BigInt(fraction.length);
  let format: QuantityFormat = "decimal";
  if (exponentMark === undefined) {
    const scale = SCALE[suffix] as { base: 2n | 10n; power: bigint };
    if (scale.base === 2n) {
      digits <<= scale.power;
      format = "binary";
    } else power += scale.power;
  } else {
    power += BigInt(exponent as string);
    format = "exponent";
  }
  const nano = clamp(scaled(digits, power + 9n));
  return { nano: sign === "-" ? -nano : nano, format };
}

/** `digits` × 10^`power`, rounded away from zero. Exponents beyond all bounds cost nothing. */
function scaled(digits: bigint, power: bigint): bigint {
  if (digits === 0n) return 0n;
  if (power >= 0n) return power > 40n ? MAX_NANO : digits * 10n ** power;
  return power < -200n ? 1n : ceilingOf(digits, 10n ** -power);
}

function ceilingOf(value: bigint, by: bigint): bigint {
  return (value + by - 1n) / by;
}

function clamp(nano: bigint): bigint {
  return nano > MAX_NANO ? MAX_NANO : nano;
}

function invalid(text: string): HoldfastError {
  return new HoldfastError(
    "RESOURCE_INVALID",
    `${JSON.stringify(text.slice(0, 40))} is no quantity`,
    {
      hint: "Write a number and a suffix, such as 10Gi or 500M",
    },
  );
}

/** Bytes (or whatever is counted), rounded away from zero to whole ones as Kubernetes does. Throws RESOURCE_INVALID. */
export function parseQuantity(value: string | number): bigint {
  const { nano } = exact(value);
  return nano < 0n ? -ceilingOf(-nano, NANO) : ceilingOf(nano, NANO);
}

/** Less than 0 when `a` is less than `b`, 0 when they are the same amount, however it is written. Throws RESOURCE_INVALID. */
export function compareQuantities(a: string | number, b: string | number): -1 | 0 | 1 {
  const difference = exact(a).nano - exact(b).nano;
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** The form in which Kubernetes writes the same amount: `1024Mi` becomes `1Gi`, `0.5` becomes `500m`. Throws RESOURCE_INVALID. */
export function canonicalQuantity(value: string | number): string {
  const { nano, format } = exact(value);
  return written(nano, format);
}

/** `bytes` in canonical form; `binary` (the usual one for volumes) gives `2Gi`, `decimal` `2G`. */
export function formatQuantity(bytes: bigint | number, format: QuantityFormat = "binary"): string {
  const nano = BigInt(bytes) * NANO;
  return written(nano < 0n ? -clamp(-nano) : clamp(nano), format);
}

const BINARY = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

function written(nano: bigint, format: QuantityFormat): string {
  const sign = nano < 0n ? "-" : "";
  const size = nano < 0n ? -nano : nano;
  if (size === 0n) return "0";
  // Below 1,024, and where a fraction would be lost, the decimal form is the canonical one.
  if (format === "binary" && size >= 1024n * NANO && size % NANO === 0n) {
    const [number, steps] = reduced(size / NANO, 1024n, BINARY.length - 1);
    return `${sign}${number}${BINARY[steps]}`;
  }
  const [number, steps] = reduced(size, 1000n, DECIMAL.length - 1);
  if (format !== "exponent") return `${sign}${number}${DECIMAL[steps]}`;
  const exponent = steps * 3 - 9;
  return `${sign}${number}${exponent === 0 ? "" : `e${exponent}`}`;
}

/** Divides by `step` as often as it goes without a rest. */
function reduced(value: bigint, step: bigint, limit: number): [bigint, number] {
  let rest = value;
  let steps = 0;
  while (steps < limit && rest % step === 0n) {
    rest /= step;
    steps += 1;
  }
  return [rest, steps];
}
