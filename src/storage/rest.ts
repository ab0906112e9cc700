// A restic repository on a REST server: restic's rest-server, rclone's `serve restic`, or the pipes of an rclone that
// src/storage/rclone.ts started. The protocol knows only restic's own names (src/storage/rest/names.ts), so nothing else
// can be stored. Servers differ in what they do to a name that is taken (docs/decisions/storage.md#rest), and none
// promises to refuse it; so every put looks first, and puts of one name wait for each other.

import { equalBytes, isId, sha256Hex } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import { eachLimit } from "../base/concurrency.ts";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import type { BackendContext } from "./backend.ts";
import { readRange } from "./http/read-range.ts";
import type { Transport, WireAnswer } from "./http/transport.ts";
import { checkKey, normalPrefix } from "./keys.ts";
import { isDone, isRclone, RestClient, serverName } from "./rest/client.ts";
import type { RestCall } from "./rest/client.ts";
import { askForList, listType } from "./rest/listing.ts";
import { TYPES, wirePathOf } from "./rest/names.ts";
import type { RestAddress } from "./rest/settings.ts";
import type {
  CallOptions,
  GetOptions,
  Storage,
  StorageFact,
  StorageTraits,
  StoredObject,
} from "./storage.ts";

export interface RestOptions extends RestAddress {
  /** A wire that is open already; one of sockets by default. It is closed with the storage. */
  readonly transport?: Transport | undefined;
}

/** As restic: what servers are tried with, and enough for a line of 1 Gbit/s at 50 ms. */
const CONNECTIONS_DEFAULT = 5;

/** Opens a repository on a server; with `context.create` it is made there. */
export async function openRestStorage(
  options: RestOptions,
  context: BackendContext,
): Promise<Storage> {
  const { url, socketPath, credentials, location, connections = CONNECTIONS_DEFAULT } = options;
  const transport = options.transport ?? context.openSockets(connections);
  const { clock, signal } = context;
  const client = new RestClient({ url, socketPath, credentials, transport, clock });
  const storage = new RestStorage(client, location, connections);
  try {
    if (context.create) await storage.create({ signal });
  } catch (error) {
    await storage.close();
    throw error;
  }
  return storage;
}

class RestStorage implements Storage {
  readonly location: string;
  readonly traits: StorageTraits;
  readonly #client: RestClient;
  /** Keys of puts that failed on the way: what lies there may be the beginning of what was to be stored. */
  readonly #begun = new Set<string>();
  /** Puts under way, by key: the next one of the same key starts when the last has ended. */
  readonly #writing = new Map<string, Promise<void>>();

  constructor(client: RestClient, location: string, connections: number) {
    this.location = location;
    // What stands behind a server is not known: a directory, or any service that rclone reaches.
    this.traits = { local: false, strongLists: false, resticNames: true, connections };
    this.#client = client;
  }

  /** Makes the repository's folders. Doing so again changes nothing. */
  async create({ signal }: CallOptions): Promise<void> {
    const what = `create ${this.location}`;
    const path = "?create=true";
    const answer = await this.#client.request({
      kind: "other",
      method: "POST",
      path,
      what,
      signal,
    });
    if (!isDone(answer)) throw this.#client.failure(what, answer);
  }

  async put(key: string, body: Uint8Array, { signal }: CallOptions = {}): Promise<void> {
    checkKey(key);
    const path = wirePathOf(key);
    if (path === undefined) {
      throw new HoldfastError(
        "STORAGE_FAILED",
        `cannot write ${key}: ${this.location} is a server`,
        {
          hint: "REST servers store restic repositories only. Use a location of gs, s3 or a directory.",
        },
      );
    }
    throwIfCancelled(signal);
    const before = this.#writing.get(key);
    const work = async (): Promise<void> => {
      await before?.catch(() => undefined);
      await this.#store(key, path, body, signal);
    };
    const writing = work();
    this.#writing.set(key, writing);
    try {
      await writing;
    } finally {
      if (this.#writing.get(key) === writing) this.#writing.delete(key);
    }
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    checkKey(key);
    const path = wirePathOf(key);
    const what = `read ${key}`;
    return await readRange(key, options, {
      read: async ({ range, into, signal }) => {
        if (path === undefined) throw notFound("read", key);
        const headers: Record<string, string> = range === undefined ? {} : { range };
        const call: RestCall = { kind: "get", method: "GET", path, what, headers, into, signal };
        const answer = await this.#client.request(call);
        if (answer.status === 200 || answer.status === 206 || answer.status === 416) return answer;
        if (answer.status !== 404 || !isRclone(answer)) throw this.#client.failure(what, answer);
        if (!(await this.#isThere(key, signal))) throw this.#client.failure(what, answer);
        return await this.#unopened(key, options, answer, signal);
      },
      // Servers name no versions; but a name of the protocol never gets other content.
      pinOf: () => "the only one",
      size: async (signal) => (await this.stat(key, { signal })).size,
    });
  }

  async stat(key: string, { signal }: CallOptions = {}): Promise<StoredObject> {
    const path = this.#pathOf(key, signal);
    if (path === undefined) throw notFound("look up", key);
    const what = `look up ${key}`;
    const answer = await this.#head(path, what, signal);
    if (answer.status !== 200) throw this.#client.failure(what, answer);
    const size = Number(answer.headers["content-length"] ?? NaN);
    if (Number.isSafeInteger(size)) return { key, size };
    throw new HoldfastError("STORAGE_FAILED", `cannot ${what}: the server does not tell its size`);
  }

  async *list(prefix: string, { signal }: CallOptions = {}): AsyncGenerator<StoredObject> {
    const within = normalPrefix(prefix);
    throwIfCancelled(signal);
    for (const type of TYPES) {
      const folder = `${type}/`;
      if (!folder.startsWith(within) && !within.startsWith(folder)) continue;
      const objects = await listType({
        client: this.#client,
        type,
        connections: this.traits.connections,
        stat: (key, itemSignal) => this.stat(key, { signal: itemSignal }),
        signal,
      });
      for (const object of objects) {
        throwIfCancelled(signal);
        if (object.key.startsWith(within)) yield object;
      }
    }
    const config = within === "" ? await this.#find("config", { signal }) : undefined;
    if (config !== undefined) yield config;
  }

  async delete(key: string, { signal }: CallOptions = {}): Promise<void> {
    const path = this.#pathOf(key, signal);
    if (path === undefined) return;
    const what = `delete ${key}`;
    const answer = await this.#client.request({
      kind: "delete",
      method: "DELETE",
      path,
      what,
      signal,
    });
    const { status } = answer;
    const isDoubtful = isRclone(answer) && (status === 404 || status === 500);
    if (isDone(answer) || (status === 404 && !isDoubtful)) return;
    if (status !== 403 && !isDoubtful) throw this.#client.failure(what, answer);
    // Servers that only append refuse before they look, and rclone's answer may mean anything.
    if (!(await this.#isThere(key, signal))) return;
    if (isDoubtful) throw unopened(what);
    const hint = "The server may only append (--append-only): delete on the server itself.";
    throw this.#client.failure(what, answer, hint);
  }

  async deleteMany(keys: readonly string[], { signal }: CallOptions = {}): Promise<void> {
    for (const key of keys) checkKey(key);
    await eachLimit(
      keys,
      this.traits.connections,
      (key, _, itemSignal) => this.delete(key, { signal: itemSignal }),
      { signal },
    );
  }

  async inspect({ signal }: CallOptions = {}): Promise<StorageFact[]> {
    const answer = await askForList(this.#client, "locks", signal);
    const appendOnly: StorageFact = {
      name: "append-only",
      value: undefined,
      note: "the protocol does not tell; a deletion that is refused would",
    };
    return [...factsOf(answer, this.#client), appendOnly];
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  async #store(
    key: string,
    path: string,
    body: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    throwIfCancelled(signal);
    if (this.#begun.has(key)) await this.#removeBeginning(key, body, signal);
    if (await this.#holds(key, body, signal)) return;
    const what = `write ${key}`;
    const call: RestCall = { kind: "put", method: "POST", path, what, body, signal };
    this.#begun.add(key);
    const answer = await this.#client.request(call);
    if (isDone(answer)) {
      this.#begun.delete(key);
      return;
    }
    // How rest-server refuses a name that is taken, by somebody who was faster: it says the same for other reasons.
    if (answer.status === 403 && (await this.#holds(key, body, signal))) return;
    if (answer.status === 400) throw this.#refusedContent(key, body, answer);
    throw this.#client.failure(what, answer);
  }

  /** An rclone that died while it wrote to a directory leaves the first part of the object under its name. */
  async #removeBeginning(
    key: string,
    body: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const stored = await this.#find(key, { signal });
    if (stored === undefined || stored.size >= body.length) return;
    const beginning = await this.get(key, { length: stored.size, signal });
    if (equalBytes(beginning, body.subarray(0, stored.size))) await this.delete(key, { signal });
  }

  /**
   * Whether an object exists of which rclone said that it does not. It says so of whatever it could not open or look up,
   * and remembers objects that others have deleted since; only a list is made anew.
   */
  async #isThere(key: string, signal: AbortSignal | undefined): Promise<boolean> {
    if ((await this.#find(key, { signal })) === undefined) return false;
    const prefix = key.slice(0, key.indexOf("/") + 1);
    if (prefix === "") return true;
    for await (const object of this.list(prefix, { signal })) if (object.key === key) return true;
    return false;
  }

  /** What a read ends with that rclone could not begin: a range may lie behind the end, and then there is no fault. */
  async #unopened(
    key: string,
    { offset = 0, length = 0 }: GetOptions,
    answer: WireAnswer,
    signal: AbortSignal | undefined,
  ): Promise<WireAnswer> {
    const { size } = await this.stat(key, { signal });
    if (offset + length > size || (length === 0 && offset === size))
      return { ...answer, status: 416 };
    throw unopened(`read ${key}`);
  }

  /** True when the object is there with this content, false when it is not there; STORAGE_EXISTS otherwise. */
  async #holds(key: string, body: Uint8Array, signal: AbortSignal | undefined): Promise<boolean> {
    const stored = await this.#find(key, { signal });
    if (stored === undefined) return false;
    if (stored.size === body.length) {
      try {
        if (equalBytes(await this.get(key, { length: body.length, signal }), body)) return true;
      } catch (error) {
        // It was deleted in between, or the server remembered what is no longer there.
        if (isHoldfastError(error, "STORAGE_NOT_FOUND")) return false;
        throw error;
      }
    }
    const message = `cannot write ${key}: it exists with different content`;
    throw new HoldfastError("STORAGE_EXISTS", message);
  }

  /** rest-server compares an object's hash with its name. */
  #refusedContent(key: string, body: Uint8Array, answer: WireAnswer): HoldfastError {
    const name = key.slice(key.lastIndexOf("/") + 1);
    const isWhole = isId(name) && sha256Hex(body) === name;
    if (!isWhole) return this.#client.failure(`write ${key}`, answer);
    const message = `cannot write ${key}: other bytes came to the server than were sent`;
    return new HoldfastError("STORAGE_UNAVAILABLE", message, { retryable: true });
  }

  async #find(key: string, options: CallOptions): Promise<StoredObject | undefined> {
    try {
      return await this.stat(key, options);
    } catch (error) {
      if (isHoldfastError(error, "STORAGE_NOT_FOUND")) return undefined;
      throw error;
    }
  }

  #head(path: string, what: string, signal: AbortSignal | undefined): Promise<WireAnswer> {
    return this.#client.request({ kind: "stat", method: "HEAD", path, what, signal });
  }

  /** Where an object of that key would be; undefined when no server could hold it. */
  #pathOf(key: string, signal: AbortSignal | undefined): string | undefined {
    checkKey(key);
    throwIfCancelled(signal);
    return wirePathOf(key);
  }
}

function factsOf(answer: WireAnswer, client: RestClient): StorageFact[] {
  const server = serverName(answer);
  const type = answer.headers["content-type"] ?? "";
  const named: StorageFact =
    server === undefined
      ? { name: "server", value: undefined, note: "it does not tell its name" }
      : { name: "server", value: server };
  if (answer.status !== 200) {
    const note = client.failure("list locks/", answer).message;
    return [named, { name: "protocol-version", value: undefined, note }];
  }
  const version = /\.v(\d+)$/.exec(type)?.[1] ?? "1";
  return [named, { name: "protocol-version", value: version }];
}

function unopened(what: string): HoldfastError {
  const message = `cannot ${what}: rclone cannot open it`;
  return new HoldfastError("STORAGE_UNAVAILABLE", message, { retryable: true });
}

function notFound(action: string, key: string): HoldfastError {
  return new HoldfastError("STORAGE_NOT_FOUND", `cannot ${action} ${key}: it does not exist`);
}
