// Values that locations and options of several backends share.

import { HoldfastError } from "../base/errors.ts";
import { isKey } from "./keys.ts";

/** A number of requests at once; undefined when none was given. USAGE when it is no number from 1 to 256. */
export function connectionsOf(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= 256) return value;
  throw new HoldfastError("USAGE", `${name}: "${text}" is no number from 1 to 256`);
}

/** A path in a bucket as the prefix of its keys: "" or "filestore/". USAGE when no object could have such a name. */
export function prefixOfPath(path: string, location: string): string {
  const inner = path.split("/").filter((part) => part !== "" && part !== ".");
  const prefix = inner.join("/");
  if (prefix === "" || isKey(prefix)) return prefix === "" ? "" : `${prefix}/`;
  throw new HoldfastError("USAGE", `${location}: its path can be no part of an object's name`, {
    hint: "Use printable ASCII without backslashes and without `..`.",
  });
}
