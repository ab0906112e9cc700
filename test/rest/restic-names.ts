// A storage that knows only restic's names, under names of any kind: so the suite of the contract runs on it. Every
// name becomes a hash below its own type, and comes back from lists and in messages; nothing else is changed.

import { sha256Hex } from "../../src/base/bytes.ts";
import { isHoldfastError } from "../../src/base/errors.ts";
import { isKey, normalPrefix } from "../../src/storage/keys.ts";
import type { Storage, StoredObject } from "../../src/storage/storage.ts";

/** Names by what they became: the same map for every opening of one storage. */
export type Names = Map<string, string>;

const TYPES = new Set(["data", "keys", "locks", "snapshots"]);

export function underAnyName(storage: Storage, names: Names): Storage {
  const called = <T>(key: string, call: (mapped: string) => Promise<T>): Promise<T> => {
    const mapped = mappedKey(key);
    names.set(mapped, key);
    return call(mapped).catch((error: unknown) => {
      if (isHoldfastError(error)) error.message = error.message.replaceAll(mapped, key);
      throw error;
    });
  };
  return {
    location: storage.location,
    traits: storage.traits,
    put: (key, body, options) => called(key, (mapped) => storage.put(mapped, body, options)),
    get: (key, options) => called(key, (mapped) => storage.get(mapped, options)),
    stat: (key, options) =>
      called(key, async (mapped) => ({ ...(await storage.stat(mapped, options)), key })),
    delete: (key, options) => called(key, (mapped) => storage.delete(mapped, options)),
    deleteMany: (keys, options) => {
      for (const key of keys) names.set(mappedKey(key), key);
      return storage.deleteMany(keys.map(mappedKey), options);
    },
    async *list(prefix, options): AsyncGenerator<StoredObject> {
      const isPrefix = prefix === "" || isKey(prefix.replace(/\/$/, ""));
      // A wrong prefix goes through as it is.
      const within = isPrefix ? normalPrefix(prefix) : prefix;
      const type = within.slice(0, within.indexOf("/"));
      const below = within === "" || !isPrefix ? within : `${typeOf(type)}/`;
      for await (const { key, size } of storage.list(below, options)) {
        const name = names.get(key) ?? key;
        if (name.startsWith(within)) yield { key: name, size };
      }
    },
    close: () => storage.close(),
  };
}

function mappedKey(key: string): string {
  if (key === "config" || !isKey(key)) return key;
  const slash = key.indexOf("/");
  const type = typeOf(slash < 0 ? key : key.slice(0, slash));
  const id = sha256Hex(Buffer.from(key));
  return type === "data" ? `data/${id.slice(0, 2)}/${id}` : `${type}/${id}`;
}

/** Whatever is no type of restic's lies in index/. */
function typeOf(folder: string): string {
  return TYPES.has(folder) ? folder : "index";
}
