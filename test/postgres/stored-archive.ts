// Made-up archives (test/barman/archives.ts) in a storage, with the times at which their objects were stored; and
// storages that count or refuse what changes them.

import { archiveOf, type Archive as OpenArchive } from "../../src/postgres/archive.ts";
import { HoldfastError } from "../../src/base/errors.ts";
import { forwarding } from "../../src/storage/forwarding.ts";
import { openMemoryStorage } from "../../src/storage/memory.ts";
import type { Storage } from "../../src/storage/storage.ts";
import type { Archive } from "../barman/archives.ts";

/** The objects of `archive` below the folder `server`. Content that nobody reads is zeros. */
export function storageOf(archive: Archive, server = "pg"): Storage {
  const objects = new Map<string, Uint8Array>();
  const times = new Map<string, number>();
  for (const { path, size, time } of archive.objects) {
    objects.set(`${server}/${path}`, archive.contents.get(path) ?? new Uint8Array(size));
    times.set(`${server}/${path}`, time);
  }
  const memory = openMemoryStorage({ objects });
  return forwarding(memory, {
    list: async function* (prefix, options) {
      for await (const { key, size, modified } of memory.list(prefix, options))
        yield { key, size, modified: times.get(key) ?? modified };
    },
  });
}

export function openStored(storage: Storage, server = "pg"): OpenArchive {
  return archiveOf(storage, server);
}

/** As a viewer sees `storage`: whatever would change it is a failure of the test. */
export function viewed(storage: Storage): Storage {
  const refuse = (): Promise<never> =>
    Promise.reject(new HoldfastError("STORAGE_DENIED", "a viewer changed something"));
  return forwarding(storage, {
    put: refuse,
    replace: refuse,
    delete: refuse,
    deleteMany: refuse,
    startUpload: refuse,
  });
}

/** Refuses to delete the objects that `locked` names, as a bucket with a retention policy does. */
export function retaining(storage: Storage, locked: RegExp): Storage {
  const remove: Storage["delete"] = async (key, options) => {
    if (locked.test(key)) throw new HoldfastError("STORAGE_DENIED", `${key} is under retention`);
    await storage.delete(key, options);
  };
  return forwarding(storage, {
    delete: remove,
    deleteMany: async (keys, options) => {
      for (const key of keys) await remove(key, options);
    },
  });
}
