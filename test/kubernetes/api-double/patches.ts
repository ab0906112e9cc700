// Merge patch (RFC 7386), JSON patch (RFC 6902), and server-side apply in a simple form: lists are wholes, and who applied a field
// owns it until they apply without it or somebody forces another value.

import { ApiFault, badRequest } from "./api-fault.ts";
import { copy, isEqual, isObject, valueAt, type Json } from "./json-value.ts";

export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return copy(patch);
  const result: Json = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

export function jsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw badRequest("cannot unmarshal a JSON patch that is no array");
  // A root of its own, so that the whole can be replaced like any other value.
  const root: Json = { "": copy(target) };
  for (const operation of patch as Json[]) {
    const { op, path, value } = operation;
    if (typeof path !== "string" || (path !== "" && !path.startsWith("/"))) {
      throw badRequest("a JSON patch without a path");
    }
    const parts = path.split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
    if (op === "test") {
      if (isEqual(find(root, parts), value)) continue;
      throw new ApiFault(
        422,
        "Invalid",
        `the server rejected our request due to an error in our request: testing path '${path}' failed`,
      );
    }
    if (op === "add") insert(root, parts, copy(value));
    else if (op === "replace") {
      take(root, parts);
      insert(root, parts, copy(value));
    } else if (op === "remove") take(root, parts);
    else throw badRequest(`a JSON patch with the operation ${String(op)}`);
  }
  return root[""];
}

function holderOf(
  root: Json,
  parts: readonly string[],
): { holder: Json | unknown[]; last: string } {
  const holder = find(root, parts.slice(0, -1));
  if (!isObject(holder) && !Array.isArray(holder)) throw missing(parts);
  return { holder, last: parts.at(-1)! };
}

function find(root: unknown, parts: readonly string[]): unknown {
  let at = root;
  for (const part of parts) {
    if (Array.isArray(at)) at = at[Number(part)];
    else if (isObject(at)) at = at[part];
    else throw missing(parts);
  }
  return at;
}

function insert(root: Json, parts: readonly string[], value: unknown): void {
  const { holder, last } = holderOf(root, parts);
  if (!Array.isArray(holder)) holder[last] = value;
  else if (last === "-") holder.push(value);
  else if (Number(last) <= holder.length) holder.splice(Number(last), 0, value);
  else throw missing(parts);
}

function take(root: Json, parts: readonly string[]): void {
  const { holder, last } = holderOf(root, parts);
  if (Array.isArray(holder)) {
    if (!(Number(last) < holder.length)) throw missing(parts);
    holder.splice(Number(last), 1);
  } else {
    if (!(last in holder)) throw missing(parts);
    delete holder[last];
  }
}

function missing(parts: readonly string[]): ApiFault {
  return new ApiFault(
    422,
    "Invalid",
    `the server rejected our request due to an error in our request: ${parts.join("/")} is not there`,
  );
}

/** What each manager applied to one object last. */
export type Applied = Map<string, Json>;

export interface ApplyOptions {
  readonly current: Json | undefined;
  readonly patch: Json;
  readonly manager: string;
  readonly force: boolean;
  readonly applied: Applied;
}

/** The object after an apply; notes in `applied` who owns what now. */
export function applyPatch({ current, patch, manager, force, applied }: ApplyOptions): Json {
  const result = copy(current ?? {});
  const fields = leavesOf(patch);
  for (const [other, theirs] of applied) {
    if (other === manager) continue;
    for (const path of fields) {
      const value = valueAt(theirs, path);
      if (value === undefined || isIdentity(path) || isEqual(value, valueAt(patch, path))) continue;
      if (!force) {
        throw new ApiFault(
          409,
          "Conflict",
          `Apply failed with 1 conflict: conflict with "${other}": .${path.join(".")}`,
        );
      }
      remove(theirs, path);
    }
  }
  // Fields that this manager applied and does not apply any more go, unless somebody else wants them too.
  for (const path of leavesOf(applied.get(manager) ?? {})) {
    const isWanted =
      valueAt(patch, path) !== undefined ||
      [...applied].some(
        ([other, theirs]) => other !== manager && valueAt(theirs, path) !== undefined,
      );
    if (!isWanted) remove(result, path);
  }
  for (const path of fields) assign(result, path, valueAt(patch, path));
  applied.set(manager, copy(patch));
  return result;
}

function isIdentity(path: readonly string[]): boolean {
  return ["apiVersion", "kind", "metadata.name", "metadata.namespace"].includes(path.join("."));
}

function leavesOf(value: unknown, path: readonly string[] = []): string[][] {
  if (!isObject(value) || (Object.keys(value).length === 0 && path.length > 0)) return [[...path]];
  return Object.entries(value).flatMap(([key, inner]) => leavesOf(inner, [...path, key]));
}

function assign(target: Json, path: readonly string[], value: unknown): void {
  let at = target;
  for (const part of path.slice(0, -1)) {
    if (!isObject(at[part])) at[part] = {};
    at = at[part] as Json;
  }
  at[path.at(-1)!] = copy(value);
}

function remove(target: Json, path: readonly string[]): void {
  const holder = valueAt(target, path.slice(0, -1));
  if (isObject(holder)) delete holder[path.at(-1)!];
}
