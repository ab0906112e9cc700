// Numbers and times for people, in the shapes that restic prints, so that scripts which read them go on reading.
// Pure, but for the zone of local times.

/** Decimal text of `value` with `digits` behind the point, a tie going to the even digit, as C and Go print. */
export function fixed(value: number, digits: number): string {
  // A tie is a value with exactly one binary digit more than the decimals can show.
  const doubled = value * 2 ** (digits + 1);
  if (!Number.isInteger(doubled) || doubled % 2 === 0) return value.toFixed(digits);
  const scale = 10 ** digits;
  const lower = Math.floor(value * scale);
  return ((lower % 2 === 0 ? lower : lower + 1) / scale).toFixed(digits);
}

const SIZE_UNITS: readonly (readonly [bytes: number, unit: string])[] = [
  [2 ** 40, "TiB"],
  [2 ** 30, "GiB"],
  [2 ** 20, "MiB"],
  [2 ** 10, "KiB"],
];

/** "1.500 GiB"; below 1024, "17 B". */
export function formatBytes(bytes: number | bigint): string {
  const count = Number(bytes);
  for (const [size, unit] of SIZE_UNITS) {
    if (count >= size) return `${fixed(count / size, 3)} ${unit}`;
  }
  return `${count} B`;
}

/** Bytes a second: "105.300 MiB/s". */
export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(Math.round(bytesPerSecond))}/s`;
}

/** "42.86%", never more than 100; "" of nothing. */
export function formatPercent(part: number, whole: number): string {
  if (whole === 0) return "";
  return `${fixed(Math.min(100, (100 * part) / whole), 2)}%`;
}

/** "0:03", "61:00" never: "1:01:00". Parts of a second are cut off. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.trunc(seconds));
  const [hours, minutes] = [Math.trunc(whole / 3600), Math.trunc(whole / 60) % 60];
  const rest = twoDigits(whole % 60);
  return hours > 0 ? `${hours}:${twoDigits(minutes)}:${rest}` : `${minutes}:${rest}`;
}

const AGE_UNITS: readonly (readonly [seconds: number, name: string, short: string])[] = [
  [365 * 86_400, "year", "y"],
  [30 * 86_400, "month", "mo"],
  [7 * 86_400, "week", "w"],
  [86_400, "day", "d"],
  [3600, "hour", "h"],
  [60, "minute", "min"],
];

/** "3 hours ago", "1 day ago", "just now"; "in 2 minutes" for what is still to come. */
export function formatAge(seconds: number): string {
  for (const [size, name] of AGE_UNITS) {
    const count = Math.trunc(Math.abs(seconds) / size);
    if (count === 0) continue;
    const text = `${count} ${name}${count === 1 ? "" : "s"}`;
    return seconds < 0 ? `in ${text}` : `${text} ago`;
  }
  return "just now";
}

/** "3 h", "2 d", "12 s". */
export function formatShortAge(seconds: number): string {
  for (const [size, , short] of AGE_UNITS) {
    const count = Math.trunc(seconds / size);
    if (count > 0) return `${count} ${short}`;
  }
  return `${Math.max(0, Math.trunc(seconds))} s`;
}

/** "2026-11-23 20:52:08", in the zone of this process. */
export function formatLocalTime(milliseconds: number): string {
  const date = new Date(milliseconds);
  const day = [date.getFullYear(), date.getMonth() + 1, date.getDate()].map(twoDigits).join("-");
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(twoDigits).join(":")}`;
}

/** What restic calls the zone of local times, by the variable TZ. */
export function zoneName(timeZone: string | undefined): string {
  if (timeZone === undefined) return "local time";
  const name = timeZone.replace(/^:/, "");
  if (name === "/etc/localtime") return "local time";
  return name.startsWith("/") || isZone(name) ? name : "UTC";
}

function isZone(name: string): boolean {
  try {
    return name !== "" && new Intl.DateTimeFormat("en", { timeZone: name }).format(0) !== "";
  } catch {
    return false;
  }
}

/** How an id is shown where eight digits are enough. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}

function twoDigits(value: number): string {
  return String(value).padStart(2, "0");
}
