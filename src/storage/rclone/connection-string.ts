// The paths that rclone is given: `remote:path`, `remote,option=value:path`, `:backend,option=value:path` for a remote that
// is configured nowhere, or a plain path of this machine. No error repeats the text: any part of it may be a secret.

import { HoldfastError } from "../../base/errors.ts";

export interface RemotePath {
  /** Name of a remote, `:backend`, or undefined for a path of this machine. */
  readonly name: string | undefined;
  /** Options given in the path itself; one without a value is "true". */
  readonly parameters: ReadonlyMap<string, string>;
  readonly path: string;
}

const NAME = /^:?[\w\p{L}\p{N}.+@]+(?:[ -]+[\w\p{L}\p{N}.+@-]+)*$/u;

/** The parts of what follows `rclone:` in a location. USAGE when rclone would not understand it either. */
export function parseRemotePath(text: string): RemotePath {
  if (text === "") throw wrong("it is empty");
  const local: RemotePath = { name: undefined, parameters: new Map(), path: text };
  if (!text.includes(":")) return local;
  const start = text.startsWith(":") ? 1 : 0;
  const length = text.slice(start).search(/[:,/\\]/);
  const end = start + length;
  if (length < 0) throw wrong("a colon is missing behind the name of its backend");
  if (text[end] === "/" || text[end] === "\\") {
    // A separator before the first colon makes it a path, unless a backend was begun.
    if (start === 0) return local;
    throw wrong("the name of its backend is not valid");
  }
  const name = text.slice(0, end);
  if (!NAME.test(name)) throw wrong("the name of its remote is not valid");
  const { parameters, path } = readParameters(text, end);
  return { name, parameters, path };
}

/** Reads from the "," or ":" behind the name. */
function readParameters(
  text: string,
  end: number,
): { parameters: Map<string, string>; path: string } {
  const parameters = new Map<string, string>();
  let at = end;
  while (text[at] === ",") {
    const name = /^[\w.]+(?=[=,:])/.exec(text.slice(at + 1))?.[0];
    if (name === undefined) throw wrong("a parameter has no name, or no end");
    at += 1 + name.length;
    if (text[at] !== "=") {
      parameters.set(name, "true");
      continue;
    }
    const { value, next } = readValue(text, at + 1);
    parameters.set(name, value);
    at = next;
  }
  if (text[at] !== ":") throw wrong("a colon is missing behind the name of its remote");
  return { parameters, path: text.slice(at + 1) };
}

/** A value in quotes, which stand twice inside of it, or one up to the next "," or ":". */
function readValue(text: string, from: number): { value: string; next: number } {
  const quote = text[from];
  if (quote !== '"' && quote !== "'") {
    const next = text.slice(from).search(/[:,]/);
    if (next < 0) throw wrong("a colon is missing behind a parameter");
    return { value: text.slice(from, from + next), next: from + next };
  }
  let value = "";
  for (let at = from + 1; ; at += 1) {
    const close = text.indexOf(quote, at);
    if (close < 0) throw wrong("a quote is not closed");
    value += text.slice(at, close);
    at = close + 1;
    if (text[at] !== quote) {
      if (text[at] === "," || text[at] === ":") return { value, next: at };
      throw wrong("something stands between a closing quote and the next parameter");
    }
    value += quote;
  }
}

function wrong(why: string): HoldfastError {
  return new HoldfastError("USAGE", `the rclone location cannot be understood: ${why}`, {
    hint: "Write rclone:REMOTE:BUCKET/PATH, or rclone:REMOTE,OPTION=VALUE:BUCKET/PATH.",
  });
}
