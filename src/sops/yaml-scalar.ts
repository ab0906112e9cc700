// What a scalar of YAML means to Go's YAML library, which SOPS uses: not what YAML 1.1 says, nor 1.2. It decides the bytes in
// the MAC. Implements docs/formats/sops.md#scalars-of-yaml.

import { decimalOf, fitsInt64, formatTime, UINT64_MAX, valueOf, type Value } from "./value.ts";

/** A value, `null`, or why SOPS could not load it. */
export type Scalar = { readonly value: Value | undefined } | { readonly refused: string };

const WORDS: ReadonlyMap<string, Value | undefined> = new Map<string, Value | undefined>([
  ...["", "~", "null", "Null", "NULL"].map((word) => [word, undefined] as const),
  ...["true", "True", "TRUE"].map((word) => [word, valueOf("bool", "True")] as const),
  ...["false", "False", "FALSE"].map((word) => [word, valueOf("bool", "False")] as const),
  ...[".nan", ".NaN", ".NAN"].map((word) => [word, valueOf("float", "NaN")] as const),
  ...[".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"].map(
    (word) => [word, valueOf("float", "+Inf")] as const,
  ),
  ...["-.inf", "-.Inf", "-.INF"].map((word) => [word, valueOf("float", "-Inf")] as const),
]);

const FLOAT = /^[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?$/;
const POINT = /^\.\d+(?:[eE][-+]?\d+)?$/;
const DATE = String.raw`(\d{4})-(\d{1,2})-(\d{1,2})`;
const CLOCK = String.raw`(\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,](\d{1,60}))?`;
const TIMES = [
  new RegExp(`^${DATE}[Tt]${CLOCK}(Z|[-+]\\d\\d:\\d\\d)$`),
  new RegExp(`^${DATE} ${CLOCK}$`),
  new RegExp(`^${DATE}$`),
];

function timeOf(text: string): string | undefined {
  for (const pattern of TIMES) {
    const match = pattern.exec(text);
    if (!match) continue;
    const [, year, month, day, hour, minute, second, fraction, zone] = match;
    return formatTime({
      date: [year!, month!, day!],
      clock: [hour ?? "0", minute ?? "0", second ?? "0"],
      fraction: fraction ?? "",
      zone: zone ?? "Z",
    });
  }
  return undefined;
}

/** An integer in one of the notations: decimal, `0x`, `0b`, `0o`, and a bare leading 0 for octal. */
function integerOf(plain: string): bigint | undefined {
  const match = /^([-+]?)(?:0[xX]([\da-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9]\d*))$/.exec(
    plain,
  );
  // No number of so many digits fits, and reading one takes more than linear time.
  if (!match || plain.length > 80) return undefined;
  const [, sign, hex, binary, octal, decimal] = match;
  const digits = hex !== undefined ? `0x${hex}` : binary !== undefined ? `0b${binary}` : undefined;
  const size = BigInt(digits ?? (octal !== undefined ? `0o${octal}` : decimal!));
  return sign === "-" ? -size : size;
}

function numberOf(plain: string): Scalar | undefined {
  const integer = integerOf(plain);
  if (integer !== undefined && fitsInt64(integer))
    return { value: valueOf("int", String(integer)) };
  if (integer !== undefined && integer > 0n && integer <= UINT64_MAX && !plain.startsWith("+")) {
    return { refused: "an integer that does not fit 64 bits with a sign" };
  }
  if (!FLOAT.test(plain)) return undefined;
  const number = Number(plain);
  return Number.isFinite(number) ? { value: valueOf("float", decimalOf(number)) } : undefined;
}

/** What a plain scalar without a tag means. */
export function plainScalar(text: string): Scalar {
  if (WORDS.has(text)) return { value: WORDS.get(text) };
  const string: Scalar = { value: valueOf("str", text) };
  if (text.startsWith(".")) {
    const number = POINT.test(text) ? Number(text) : Number.NaN;
    return Number.isFinite(number) ? { value: valueOf("float", decimalOf(number)) } : string;
  }
  if (!/^[-+\d]/.test(text)) return string;
  const time = timeOf(text);
  if (time !== undefined) return { value: valueOf("time", time) };
  return numberOf(text.replaceAll("_", "")) ?? string;
}

/** What a scalar with an explicit tag (`int` of `!!int`) means; a tag of one's own makes a string. */
export function taggedScalar(tag: string, text: string): Scalar {
  if (tag === "binary") {
    const compact = text.replace(/\s/g, "");
    const bytes = Buffer.from(compact, "base64");
    if (bytes.toString("base64") !== compact) return { refused: "!!binary that is no base64" };
    return { value: { type: "str", bytes } };
  }
  const wanted = { bool: "bool", int: "int", float: "float", timestamp: "time", null: "null" }[tag];
  if (wanted === undefined) return { value: valueOf("str", text) };
  const scalar = plainScalar(text);
  if ("refused" in scalar) return scalar;
  const found = scalar.value?.type ?? "null";
  if (found === wanted) return scalar;
  if (wanted === "float" && found === "int") {
    const number = Number(Buffer.from(scalar.value!.bytes).toString());
    return { value: valueOf("float", decimalOf(number)) };
  }
  return { refused: `a scalar that is not what its tag !!${tag} says` };
}
