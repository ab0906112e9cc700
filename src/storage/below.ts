// A folder of a storage as a storage of its own: keys are relative to it, and nothing outside can be named.

import { HoldfastError } from "../base/errors.ts";
import { checkKey, normalPrefix } from "./keys.ts";
import { forwarding } from "./forwarding.ts";
import type { ListOptions, Storage, StoredObject } from "./storage.ts";

/** The objects of `storage` below `folder` (whole segments, without a slash at its end). Closing it closes `storage`. */
export function below(storage: Storage, folder: string): Storage {
  checkKey(folder);
  const root = `${folder}/`;
  const inside = (key: string): string => {
    checkKey(key);
    return root + key;
  };
  const { replace, startUpload } = storage;
  return forwarding(storage, {
    location: `${storage.location.replace(/\/$/, "")}/${folder}`,
    put: async (key, body, options) => await storage.put(inside(key), body, options),
    get: async (key, options) => await storage.get(inside(key), options),
    stat: async (key, options) => relative(await storage.stat(inside(key), options), root),
    list: (prefix, options) => listBelow(storage, { root, prefix }, options),
    delete: async (key, options) => await storage.delete(inside(key), options),
    deleteMany: async (keys, options) => await storage.deleteMany(keys.map(inside), options),
    ...(replace && {
      replace: async (key, body, options) =>
        await replace.call(storage, inside(key), body, options),
    }),
    ...(startUpload && {
      startUpload: async (key, options) => await startUpload.call(storage, inside(key), options),
    }),
  });
}

async function* listBelow(
  storage: Storage,
  { root, prefix }: { readonly root: string; readonly prefix: string },
  { after, ...options }: ListOptions = {},
): AsyncGenerator<StoredObject> {
  const within = { ...options, ...(after !== undefined && { after: root + after }) };
  for await (const object of storage.list(root + normalPrefix(prefix), within)) {
    yield relative(object, root);
  }
}

function relative(object: StoredObject, root: string): StoredObject {
  if (object.key.startsWith(root)) return { ...object, key: object.key.slice(root.length) };
  throw new HoldfastError("BUG", `${object.key} does not lie below ${root}`);
}
