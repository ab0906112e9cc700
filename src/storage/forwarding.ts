// A storage that passes every call on, but for those it changes: what decorators are made of.

import type { Storage } from "./storage.ts";

/** `storage` with the members of `changed` in place of its own; what neither has stays absent. */
export function forwarding(storage: Storage, changed: Partial<Storage>): Storage {
  const passed: Storage = {
    location: storage.location,
    traits: storage.traits,
    put: (key, body, options) => storage.put(key, body, options),
    get: (key, options) => storage.get(key, options),
    stat: (key, options) => storage.stat(key, options),
    list: (prefix, options) => storage.list(prefix, options),
    delete: (key, options) => storage.delete(key, options),
    deleteMany: (keys, options) => storage.deleteMany(keys, options),
    close: () => storage.close(),
  };
  if (storage.replace) {
    passed.replace = (key, body, options) => storage.replace!(key, body, options);
  }
  if (storage.startUpload) {
    passed.startUpload = (key, options) => storage.startUpload!(key, options);
  }
  if (storage.inspect) passed.inspect = (options) => storage.inspect!(options);
  return { ...passed, ...changed };
}
