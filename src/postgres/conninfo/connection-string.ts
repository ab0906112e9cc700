// Connection strings as libpq takes them: `keyword = value` pairs with its quotes, a URI of the scheme postgresql, or the
// bare name of a database. Pure. A message never repeats what was given: it may hold a password.

import { HoldfastError } from "../../base/errors.ts";

const PAIR =
  /\s*([A-Za-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*)?)(?=\s|$)/sy;
const URI = /^postgres(?:ql)?:\/\/(?:([^@/?#]*)@)?([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/;
const HOST = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d*))?$/;

/** The keywords of a connection string and their values. Throws USAGE. */
export function readConnectionString(text: string): Map<string, string> {
  if (/^postgres(ql)?:\/\//.test(text)) return readUri(text);
  if (!text.includes("=")) return new Map(text === "" ? [] : [["dbname", text]]);
  const found = new Map<string, string>();
  const whole = text.trimEnd();
  let at = 0;
  while (at < whole.length) {
    PAIR.lastIndex = at;
    const match = PAIR.exec(whole);
    if (!match) throw unreadable(`a pair of keyword and value is missing at character ${at + 1}`);
    const value = match[2] ?? match[3] ?? "";
    found.set(match[1]!, value.replace(/\\(.)/gs, "$1"));
    at = PAIR.lastIndex;
  }
  return found;
}

function readUri(text: string): Map<string, string> {
  const [, account, authority = "", database, query] = URI.exec(text) ?? [];
  if (!URI.test(text))
    throw unreadable("the URI does not have the form postgresql://user@host:port/database");
  const found = new Map<string, string>();
  const set = (key: string, value: string | undefined): void => {
    if (value !== undefined && value !== "") found.set(key, value);
  };
  if (account !== undefined) {
    const colon = account.indexOf(":");
    set("user", decoded(colon < 0 ? account : account.slice(0, colon)));
    if (colon >= 0) set("password", decoded(account.slice(colon + 1)));
  }
  const hosts = authority.split(",").map((part) => HOST.exec(part));
  if (hosts.some((host) => host === null)) throw unreadable("a host of the URI cannot be read");
  set(
    "host",
    hosts
      .map((host) => decoded(host![1] ?? host![2] ?? ""))
      .join(",")
      .replace(/^,+$/, ""),
  );
  const ports = hosts.map((host) => host![3] ?? "");
  if (ports.some((port) => port !== "")) set("port", ports.join(","));
  set("dbname", decoded(database ?? ""));
  for (const pair of (query ?? "").split("&")) {
    const [key = "", value = "", ...more] = pair.split("=");
    if (pair === "") continue;
    if (key === "" || more.length > 0) throw unreadable("a parameter of the URI cannot be read");
    found.set(decoded(key), decoded(value));
  }
  return found;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw unreadable("a percent sign of the URI is not followed by two hexadecimal digits");
  }
}

function unreadable(what: string): HoldfastError {
  return new HoldfastError("USAGE", `the connection string cannot be read: ${what}`, {
    hint: 'Write it as libpq does: "host=db1 dbname=odoo user=backup", or postgresql://backup@db1/odoo.',
  });
}
