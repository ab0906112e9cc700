// The scalars of a SOPS document: a type and the exact bytes that are encrypted and go into the MAC. Implements
// docs/formats/sops.md#values. Bytes rather than text, because a binary document holds what is no text.

/** The names that stand after `type:` in an encrypted value. */
export const VALUE_TYPES = ["str", "int", "float", "bool", "bytes", "time", "comment"] as const;
export type ValueType = (typeof VALUE_TYPES)[number];

/** A scalar in its canonical form: `42`, `0.1`, `True`, `2024-01-01T00:00:00Z`. */
export interface Value {
  readonly type: ValueType;
  readonly bytes: Uint8Array;
}

const INT64_MAX = 2n ** 63n - 1n;
export const UINT64_MAX: bigint = 2n ** 64n - 1n;

/** A value of UTF-8 text. */
export function valueOf(type: ValueType, text: string): Value {
  return { type, bytes: Buffer.from(text, "utf8") };
}

/** The value's bytes as UTF-8 text. */
export function textOf(value: Value): string {
  const { buffer, byteOffset, length } = value.bytes;
  return Buffer.from(buffer, byteOffset, length).toString("utf8");
}

/** True when a signed 64-bit integer holds `value`. */
export function fitsInt64(value: bigint): boolean {
  return value <= INT64_MAX && value >= -INT64_MAX - 1n;
}

/** The shortest decimal that reads back as `value`, never with an exponent. */
export function decimalOf(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const [digits = "", exponent = "0"] = String(Math.abs(value)).split("e");
  const [whole = "", fraction = ""] = digits.split(".");
  const point = whole.length + Number(exponent);
  const all = whole + fraction;
  if (point <= 0) return `${sign}0.${"0".repeat(-point)}${all}`;
  if (point >= all.length) return sign + all.padEnd(point, "0");
  return `${sign}${all.slice(0, point)}.${all.slice(point)}`;
}

const FLOAT = /^[-+]?(?:\.\d+|\d+\.?\d*)(?:[eE][-+]?\d+)?$/;
const TRUE = new Set(["1", "t", "T", "TRUE", "true", "True"]);
const FALSE = new Set(["0", "f", "F", "FALSE", "false", "False"]);

function canonicalFloat(text: string): string | undefined {
  const special = /^([-+]?)(?:inf|infinity)$/i.exec(text);
  if (special) return special[1] === "-" ? "-Inf" : "+Inf";
  if (/^nan$/i.test(text)) return "NaN";
  if (!FLOAT.test(text)) return undefined;
  const number = Number(text);
  return Number.isFinite(number) ? decimalOf(number) : undefined;
}

/** What `bytes` mean as a value of `type`, in canonical form; undefined when they mean nothing. */
export function canonical(type: ValueType, bytes: Uint8Array): Value | undefined {
  if (type === "str" || type === "bytes" || type === "comment") return { type, bytes };
  const text = textOf({ type, bytes });
  if (type === "int") {
    if (!/^[-+]?\d{1,40}$/.test(text)) return undefined;
    const number = BigInt(text.replace("+", ""));
    return fitsInt64(number) ? valueOf(type, String(number)) : undefined;
  }
  if (type === "bool") {
    if (TRUE.has(text)) return valueOf(type, "True");
    return FALSE.has(text) ? valueOf(type, "False") : undefined;
  }
  const found = type === "float" ? canonicalFloat(text) : canonicalTime(text);
  return found === undefined ? undefined : valueOf(type, found);
}

interface TimeParts {
  readonly date: readonly [year: string, month: string, day: string];
  readonly clock: readonly [hour: string, minute: string, second: string];
  readonly fraction: string;
  readonly zone: string;
}

/** RFC 3339 with nanoseconds at most and no zeros at their end; undefined when there is no such moment. */
export function formatTime({ date, clock, fraction, zone }: TimeParts): string | undefined {
  const [year, month, day] = date.map(Number) as [number, number, number];
  const [hour, minute, second] = clock.map(Number) as [number, number, number];
  if (month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59) return undefined;
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const days = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]!;
  if (day < 1 || day > days) return undefined;
  const offset = /^[-+](\d\d):(\d\d)$/.exec(zone);
  if (offset ? Number(offset[1]) > 23 || Number(offset[2]) > 59 : zone !== "Z") return undefined;
  const utc = offset === null || zone.slice(1) === "00:00";
  const two = (text: string): string => text.padStart(2, "0");
  const nanoseconds = fraction.slice(0, 9).replace(/0+$/, "");
  return (
    `${date[0]}-${two(date[1])}-${two(date[2])}T${clock.map(two).join(":")}` +
    (nanoseconds === "" ? "" : `.${nanoseconds}`) +
    (utc ? "Z" : zone)
  );
}

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,30}))?(Z|[-+]\d\d:\d\d)$/;

/** An RFC 3339 time as Go writes it again; undefined when it is none. */
export function canonicalTime(text: string): string | undefined {
  const match = RFC3339.exec(text);
  if (!match) return undefined;
  const [, year, month, day, hour, minute, second, fraction, zone] = match as unknown as string[];
  return formatTime({
    date: [year!, month!, day!],
    clock: [hour!, minute!, second!],
    fraction: fraction ?? "",
    zone: zone!,
  });
}
