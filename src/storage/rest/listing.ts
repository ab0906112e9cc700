// Lists of the REST protocol: all names of one type in one answer, with sizes since version 2.

import { mapLimit } from "../../base/concurrency.ts";
import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import { textOf } from "../http/transport.ts";
import type { WireAnswer } from "../http/transport.ts";
import type { StoredObject } from "../storage.ts";
import type { RestClient } from "./client.ts";
import { VERSION_2 } from "./client.ts";
import { keyOfName } from "./names.ts";
import type { ObjectType } from "./names.ts";

export interface ListOptions {
  readonly client: RestClient;
  readonly type: ObjectType;
  readonly connections: number;
  readonly stat: (key: string, signal: AbortSignal) => Promise<StoredObject>;
  readonly signal: AbortSignal | undefined;
}

/** One request for the list of `type`. */
export function askForList(
  client: RestClient,
  type: ObjectType,
  signal: AbortSignal | undefined,
): Promise<WireAnswer> {
  const headers = { accept: VERSION_2 };
  const what = `list ${type}/`;
  return client.request({ kind: "list", method: "GET", path: `${type}/`, what, headers, signal });
}

/** Every object of one type. */
export async function listType(options: ListOptions): Promise<StoredObject[]> {
  const { client, type, connections, stat, signal } = options;
  const answer = await askForList(client, type, signal);
  if (answer.status === 404) return await listOfMissing(options, answer);
  if (answer.status !== 200) throw client.failure(`list ${type}/`, answer);
  const { objects, unmeasured } = parseList(type, answer);
  const measured = await mapLimit(
    unmeasured,
    connections,
    async (key, _, itemSignal) => {
      try {
        return await stat(key, itemSignal);
      } catch (error) {
        // Deleted since the list was made.
        if (isHoldfastError(error, "STORAGE_NOT_FOUND")) return undefined;
        throw error;
      }
    },
    { signal },
  );
  for (const object of measured) if (object !== undefined) objects.push(object);
  return objects;
}

/** A type that nothing was ever stored of is empty; a repository that is not there is an error. */
async function listOfMissing(options: ListOptions, answer: WireAnswer): Promise<StoredObject[]> {
  const { client, type, signal } = options;
  const what = "look up config";
  const config = { kind: "stat", method: "HEAD", path: "config", what, signal } as const;
  const { status } = await client.request(config);
  if (status === 200) return [];
  throw client.failure(`list ${type}/`, answer, "Check the path of the repository on the server.");
}

interface ParsedList {
  objects: StoredObject[];
  /** Keys that came without a size. */
  unmeasured: string[];
}

function parseList(type: ObjectType, answer: WireAnswer): ParsedList {
  const wrong = (): HoldfastError =>
    new HoldfastError("STORAGE_FAILED", `cannot list ${type}/: the answer is no list of objects`, {
      hint: "Check the address: something else than a REST server for restic may answer there.",
    });
  let list: unknown;
  try {
    list = JSON.parse(textOf(answer));
  } catch {
    throw wrong();
  }
  const parsed: ParsedList = { objects: [], unmeasured: [] };
  // How some servers write an empty list.
  if (list === null) return parsed;
  if (!Array.isArray(list)) throw wrong();
  for (const item of list as unknown[]) {
    const { name, size } = typeof item === "object" && item !== null ? (item as Entry) : {};
    const key = keyOfName(type, String(name ?? item));
    if (typeof item === "string") {
      if (key !== undefined) parsed.unmeasured.push(key);
    } else if (typeof name === "string" && Number.isSafeInteger(size) && (size as number) >= 0) {
      if (key !== undefined) parsed.objects.push({ key, size: size as number });
    } else {
      throw wrong();
    }
  }
  return parsed;
}

interface Entry {
  name?: unknown;
  size?: unknown;
}
