// The names of objects on the wire of restic's REST protocol: `config`, and below each of five types names of 64 hex
// digits. A pack is `data/<id>` there and `data/<first two digits>/<id>` for us, as in every other storage.

import { isId } from "../../base/bytes.ts";

/** What a server holds besides `config`, as the protocol calls it. */
export const TYPES = ["data", "keys", "locks", "snapshots", "index"] as const;

export type ObjectType = (typeof TYPES)[number];

/** The path below the repository's address, or undefined for a key that no server could hold. */
export function wirePathOf(key: string): string | undefined {
  if (key === "config") return key;
  const [type = "", ...rest] = key.split("/");
  const id = rest.at(-1) ?? "";
  if (!TYPES.includes(type as ObjectType) || !isId(id)) return undefined;
  return keyOfName(type as ObjectType, id) === key ? `${type}/${id}` : undefined;
}

/** The key of an object that was listed below `type`, or undefined for a stranger. */
export function keyOfName(type: ObjectType, name: string): string | undefined {
  if (!isId(name)) return undefined;
  return type === "data" ? `data/${name.slice(0, 2)}/${name}` : `${type}/${name}`;
}
