// What rclone says of itself, without what it was told in confidence: known secrets by their value, and whatever stands
// where secrets stand. Too much is taken out rather than too little.

import { redactLocation } from "../location.ts";
import { reveal } from "./obscure.ts";

type Environment = Readonly<Record<string, string | undefined>>;

const SECRET_NAME = /(?:pass|secret|token|key|credential|cookie|header)/i;
/** Shorter values are words that may stand anywhere. */
const LENGTH_MIN = 5;
const PLAIN = new Set(["true", "false"]);

/** Makes lines of rclone fit to be shown; `env` is what it was given. */
export function redactor(env: Environment): (line: string) => string {
  const secrets = [...secretValues(env)].toSorted((a, b) => b.length - a.length);
  return (line) => {
    let shown = line;
    for (const secret of secrets) shown = shown.replaceAll(secret, "***");
    return redactLocation(shown)
      .replace(
        /((?:pass(?:word|wd)?|secret|token|key|credentials?|signature)["']?\s*[=:]\s*)(?:"[^"]*"|'[^']*'|[^\s,&"']+)/gi,
        "$1***",
      )
      .replace(/\b(Bearer|Basic|AWS4-HMAC-SHA256)\s+\S+/gi, "$1 ***")
      .replace(/-----BEGIN.*/g, "***");
  };
}

function secretValues(env: Environment): Set<string> {
  const found = new Set<string>();
  const add = (value: string): void => {
    for (const part of [value, ...value.split(/\r?\n|\\n/), reveal(value) ?? ""]) {
      if (part.length >= LENGTH_MIN && !PLAIN.has(part)) found.add(part);
    }
  };
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || !isSecret(name)) continue;
    add(value);
    for (const inner of secretsInJson(value)) add(inner);
  }
  return found;
}

/** Of credentials in JSON, what is secret by the name it has there: they are told in parts. */
function secretsInJson(value: string): string[] {
  if (!value.trimStart().startsWith("{")) return [];
  const secrets: string[] = [];
  try {
    JSON.parse(value, (name, inner: unknown) => {
      if (typeof inner === "string" && SECRET_NAME.test(name)) secrets.push(inner);
      return inner;
    });
  } catch {
    // No JSON after all; the whole of it and its lines are known.
  }
  return secrets;
}

function isSecret(name: string): boolean {
  if (name === "RCLONE_CONFIG_PASS") return true;
  // Of variables that are nothing to rclone only the plainest are secrets: PATH and HOME must stay readable.
  if (name.startsWith("RCLONE_")) return SECRET_NAME.test(name.slice("RCLONE_".length));
  return /(?:PASSWORD|SECRET|TOKEN|ACCESS_KEY)/.test(name) && !name.endsWith("_FILE");
}
