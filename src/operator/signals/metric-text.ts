// Prometheus' text format 0.0.4: families of samples, one line each. Pure. Values of labels come from other people's resources,
// so they are quoted here and nowhere else; a name that the format does not know is a mistake of ours and throws.

export type MetricType = "counter" | "gauge" | "summary" | "histogram";

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels?: Labels;
  readonly value: number;
  /** `_sum`, `_count` or `_bucket`, of summaries and histograms. */
  readonly suffix?: "_sum" | "_count" | "_bucket";
}

export interface Family {
  readonly name: string;
  readonly type: MetricType;
  /** One sentence: what the value is, and its unit. */
  readonly help: string;
}

export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** One family with its samples; nothing at all when there are none. */
export function familyText({ name, type, help }: Family, samples: Iterable<Sample>): string {
  const lines: string[] = [];
  for (const { labels = {}, value, suffix = "" } of samples) {
    lines.push(`${name}${suffix}${labelsText(labels)} ${numberText(value)}`);
  }
  if (lines.length === 0) return "";
  if (!NAME.test(name)) throw new TypeError(`not a name of a metric: ${name}`);
  const helpLine = help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return `# HELP ${name} ${helpLine}\n# TYPE ${name} ${type}\n${lines.join("\n")}\n`;
}

function labelsText(labels: Labels): string {
  const pairs: string[] = [];
  for (const [name, value] of Object.entries(labels)) {
    if (!LABEL.test(name)) throw new TypeError(`not a name of a label: ${name}`);
    pairs.push(`${name}="${quoted(value)}"`);
  }
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function quoted(value: string): string {
  // Half of a surrogate pair has no UTF-8, and a scrape with one bad byte is refused as a whole.
  return value
    .toWellFormed()
    .replaceAll("\\", "\\\\")
    .replaceAll('"', '\\"')
    .replaceAll("\n", "\\n");
}

function numberText(value: number): string {
  if (value === Infinity) return "+Inf";
  if (value === -Infinity) return "-Inf";
  return String(value);
}
