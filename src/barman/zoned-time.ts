// Times in backup.info: those of Python's datetime, to the microsecond and with the zone of their writer
// (docs/formats/barman.md#times). Kept to the digit, so that a file that is written again stays as it was.

/** A moment, and how its writer's clock showed it. */
export interface ZonedTime {
  /** Microseconds since 1970 in UTC. */
  readonly micros: number;
  /** Seconds that the writer's clock was ahead of UTC; null when the file does not say, and UTC was taken. */
  readonly offset: number | null;
}

const TIME =
  /^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:(Z)|([+-])(\d\d):?(\d\d)(?::?(\d\d))?)?$/;

/** The moment at `milliseconds` since 1970, on a clock that shows UTC. */
export function utcTime(milliseconds: number): ZonedTime {
  return { micros: Math.round(milliseconds * 1000), offset: 0 };
}

/** Milliseconds since 1970, the microseconds cut off. */
export function millisecondsOf(time: ZonedTime): number {
  return Math.floor(time.micros / 1000);
}

/** The time that `text` shows; undefined when it is none. */
export function readZonedTime(text: string): ZonedTime | undefined {
  const match = TIME.exec(text);
  if (!match) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as number[];
  const seconds = dateSeconds([year!, month!, day!, hour!, minute!, second!]);
  if (seconds === undefined) return undefined;
  const fraction = Number((match[7] ?? "").padEnd(6, "0"));
  const offset = offsetOf(match);
  if (offset === undefined) return undefined;
  return { micros: (seconds - (offset ?? 0)) * 1_000_000 + fraction, offset };
}

function offsetOf(match: RegExpExecArray): number | null | undefined {
  if (match[8]) return 0;
  if (!match[9]) return null;
  const [hours, minutes, seconds] = [match[10], match[11], match[12] ?? "0"].map(Number);
  if (hours! > 23 || minutes! > 59 || seconds! > 59) return undefined;
  return (match[9] === "-" ? -1 : 1) * (hours! * 3600 + minutes! * 60 + seconds!);
}

function dateSeconds(parts: readonly number[]): number | undefined {
  const [year, month, day, hour, minute, second] = parts as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  const isReal =
    // Microseconds of later years would not be exact.
    year >= 1970 &&
    year <= 2200 &&
    date.getUTCMonth() === month - 1 &&
    date.getUTCDate() === day &&
    hour < 24 &&
    minute < 60 &&
    second < 60;
  return isReal ? date.getTime() / 1000 : undefined;
}

/** The text that Python makes of it: no fraction when there is none, six digits otherwise. */
export function formatZonedTime({ micros, offset }: ZonedTime): string {
  const local = micros + (offset ?? 0) * 1_000_000;
  const seconds = Math.floor(local / 1_000_000);
  const fraction = local - seconds * 1_000_000;
  const text = new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ");
  const digits = fraction === 0 ? "" : `.${String(fraction).padStart(6, "0")}`;
  return text + digits + (offset === null ? "" : formatOffset(offset));
}

function formatOffset(offset: number): string {
  const [size, two] = [Math.abs(offset), (value: number): string => String(value).padStart(2, "0")];
  const rest = size % 60 === 0 ? "" : `:${two(size % 60)}`;
  return `${offset < 0 ? "-" : "+"}${two(Math.floor(size / 3600))}:${two(Math.floor(size / 60) % 60)}${rest}`;
}
