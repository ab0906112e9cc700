// A strict reader of Prometheus' text format, for tests: what Prometheus would refuse or misread, it throws on. Families must be in
// one piece, typed before their samples, without two samples of the same labels.

export interface ReadSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const TYPES = ["counter", "gauge", "summary", "histogram", "untyped"];
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  summary: ["", "_sum", "_count"],
  histogram: ["_bucket", "_sum", "_count"],
};

/** All samples, in order. */
export function readExposition(text: string): ReadSample[] {
  if (text !== "" && !text.endsWith("\n")) throw new Error("the last line has no end");
  const samples: ReadSample[] = [];
  const seen = new Set<string>();
  const families = new Map<string, string>();
  let current: string | undefined;
  let helped: string | undefined;
  for (const line of text.split("\n").slice(0, -1)) {
    const help = /^# HELP (\S+) (?:[^\\]|\\[\\n])+$/.exec(line);
    const typed = /^# TYPE (\S+) (\S+)$/.exec(line);
    if (help) {
      helped = help[1]!;
    } else if (typed) {
      const [, name = "", type = ""] = typed;
      if (name !== helped) throw new Error(`${name} has no help before its type`);
      if (families.has(name)) throw new Error(`family ${name} is in two pieces`);
      if (!TYPES.includes(type)) throw new Error(`no type: ${line}`);
      families.set(name, type);
      current = name;
    } else {
      const sample = readSample(line);
      const type = families.get(current ?? "");
      const suffixes = SUFFIXES[type ?? ""] ?? [""];
      if (!suffixes.some((suffix) => sample.name === `${current}${suffix}`)) {
        throw new Error(`${sample.name} does not belong to family ${current}`);
      }
      const identity = `${sample.name} ${Object.entries(sample.labels)
        .map((label) => JSON.stringify(label))
        .toSorted((a, b) => (a < b ? -1 : 1))
        .join()}`;
      if (seen.has(identity)) throw new Error(`twice: ${identity}`);
      seen.add(identity);
      if (type === "counter" && !(sample.value >= 0)) throw new Error(`no count: ${line}`);
      samples.push(sample);
    }
  }
  return samples;
}

function readSample(line: string): ReadSample {
  const [, name, inside, number] =
    /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/s.exec(line) ?? [];
  if (name === undefined || number === undefined) throw new Error(`no sample: ${line}`);
  const labels: Record<string, string> = {};
  let rest = inside ?? "";
  while (rest !== "") {
    const [whole, label = "", quoted = ""] =
      /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,(?=.)|$)/.exec(rest) ?? [];
    if (whole === undefined) throw new Error(`no labels: ${rest}`);
    if (label in labels) throw new Error(`label twice: ${line}`);
    labels[label] = quoted.replaceAll(/\\(.)/g, (_, one: string) => (one === "n" ? "\n" : one));
    rest = rest.slice(whole.length);
  }
  const special: Readonly<Record<string, number>> = {
    NaN,
    "+Inf": Infinity,
    "-Inf": -Infinity,
  };
  const value = special[number] ?? (/^-?\d/.test(number) ? Number(number) : NaN);
  if (Number.isNaN(value) && number !== "NaN") throw new Error(`no number: ${line}`);
  return { name, labels, value };
}

/** The value of the one sample of that name with (at least) those labels; undefined when there is none. */
export function valueOf(
  samples: readonly ReadSample[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const found = samples.filter(
    (sample) =>
      sample.name === name &&
      Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
  );
  if (found.length > 1) throw new Error(`several samples of ${name}`);
  return found[0]?.value;
}
