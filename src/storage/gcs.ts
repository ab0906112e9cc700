// Objects in a bucket of Google Cloud Storage, through its JSON API: one request for each object written or read, created
// only where none exists, its hash checked by the service. Reasons and measurements: docs/decisions/storage.md#gcs.
//
// No ACL is ever sent. Hashes are taken from answers about one object, never from a list: objects under a customer's key
// are listed without them.

import { createHash } from "node:crypto";
import { equalBytes, toHex } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import { eachLimit } from "../base/concurrency.ts";
import { crc32c, crc32cText } from "../base/crc32c.ts";
import { HoldfastError } from "../base/errors.ts";
import type { BackendContext } from "./backend.ts";
import { resourceOf } from "./gcs/answers.ts";
import type { ObjectResource } from "./gcs/answers.ts";
import { EncryptionKeys } from "./gcs/encryption-keys.ts";
import { inspectBucket } from "./gcs/inspection.ts";
import { listObjects } from "./gcs/listing.ts";
import { batchBody, parseBatchAnswer, relatedBody } from "./gcs/multipart.ts";
import { resumableUpload, sessionOf } from "./gcs/resumable.ts";
import { isAbsence, serviceError } from "./gcs/service-error.ts";
import { Service } from "./gcs/service.ts";
import type { ServiceCall } from "./gcs/service.ts";
import { allowedRisks } from "./gcs/settings.ts";
import { readRange } from "./http/read-range.ts";
import type { RangeRead } from "./http/read-range.ts";
import { checkKey, normalPrefix } from "./keys.ts";
import { isBulk } from "./bulk.ts";
import type { WireAnswer } from "./http/transport.ts";
import type {
  CallOptions,
  GetOptions,
  ListOptions,
  Storage,
  StorageFact,
  StorageTraits,
  StoredObject,
  Upload,
} from "./storage.ts";

/** Where a token comes from. */
export type GoogleCredentials =
  /** No token at all: public buckets and emulators. */
  | { readonly kind: "anonymous" }
  /** A ready access token, and the variable it came from (GOOGLE_ACCESS_TOKEN by default). */
  | { readonly kind: "token"; readonly token: string; readonly source?: string }
  /** A credential file: `value` is its content or its path, `source` the variable it came from. */
  | { readonly kind: "file"; readonly value: string; readonly source: string }
  /** Application default credentials: variable, gcloud's file, metadata server. */
  | { readonly kind: "default" };

export interface GcsOptions {
  readonly bucket: string;
  /** "" or a path with a final "/" below which all keys lie. */
  readonly prefix: string;
  readonly credentials: GoogleCredentials;
  /** Another address than Google's, such as http://127.0.0.1:4443. */
  readonly endpoint?: string | undefined;
  /** Encrypt every object with this key of Cloud KMS, and refuse any other: `projects/…/cryptoKeys/…`. */
  readonly kmsKeyName?: string | undefined;
  /** Of packs and archives; what is read or deleted often stays in STANDARD. */
  readonly storageClass?: string | undefined;
  /** Project that pays for requests (requester pays). */
  readonly userProject?: string | undefined;
  readonly connections?: number | undefined;
  /** Where it is, for people; `gs:bucket:/prefix` by default. */
  readonly location?: string | undefined;
}

const CONNECTIONS = 16;
/** Requests in one batch, at most. */
const BATCH_MAX = 100;
const RESOURCE_FIELDS = "name,size,generation,crc32c,kmsKeyName";

/** Opens the bucket; nothing is asked of the service yet. */
export async function openGcsStorage(
  options: GcsOptions,
  context: BackendContext,
): Promise<Storage> {
  const connections = options.connections ?? CONNECTIONS;
  const allowed = allowedRisks(context);
  const service = await Service.open({ options, context, connections, allowed });
  return new GcsStorage(options, service, context, connections);
}

class GcsStorage implements Storage {
  readonly location: string;
  readonly traits: StorageTraits;
  readonly #options: GcsOptions;
  readonly #service: Service;
  readonly #context: BackendContext;
  readonly #keys: EncryptionKeys;
  /** Turns false when the service knows no batches. */
  #batches = true;

  constructor(options: GcsOptions, service: Service, context: BackendContext, connections: number) {
    const { bucket, prefix, location } = options;
    this.location = location ?? `gs:${bucket}:/${prefix.replace(/\/$/, "")}`;
    this.traits = { local: false, strongLists: true, connections };
    this.#options = options;
    this.#keys = new EncryptionKeys(options.kmsKeyName);
    this.#service = service;
    this.#context = context;
  }

  async put(key: string, body: Uint8Array, { signal }: CallOptions = {}): Promise<void> {
    const isStored = await this.#write(key, body, { signal, query: this.#creation });
    // Something of that name exists: another content, or this one, when the reply to an earlier attempt was lost.
    if (!isStored) await this.#compare(key, body, signal);
  }

  async replace(key: string, body: Uint8Array, { signal }: CallOptions = {}): Promise<void> {
    const { ifGenerationMatch: _, ...query } = this.#creation;
    await this.#write(key, body, { signal, query });
  }

  /** Stores an object; false when a condition in `query` forbids it. */
  async #write(
    key: string,
    body: Uint8Array,
    options: { signal: AbortSignal | undefined; query: Record<string, string | undefined> },
  ): Promise<boolean> {
    const { signal, query } = options;
    checkKey(key);
    throwIfCancelled(signal);
    const checksum = crc32cText(crc32c(body));
    const metadata = { ...this.#metadata(key), crc32c: checksum };
    const { contentType, parts } = relatedBody(metadata, body, this.#boundary());
    const answer = await this.#service.call({
      kind: "put",
      method: "POST",
      path: `/upload${this.#objects}`,
      query: { uploadType: "multipart", ...query },
      headers: { "content-type": contentType },
      body: parts,
      what: `write ${key}`,
      expect: [412],
      signal,
    });
    if (answer.status === 412) return false;
    const stored = resourceOf(answer, `write ${key}`);
    await this.#accept(key, stored, { checksum, size: body.length, again: true });
    return true;
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    checkKey(key);
    return await readRange(key, options, {
      read: (request) => this.#read(key, request),
      pinOf: ({ "x-goog-generation": generation }) =>
        typeof generation === "string" ? generation : undefined,
      size: async (signal) => (await this.stat(key, { signal })).size,
    });
  }

  async stat(key: string, { signal }: CallOptions = {}): Promise<StoredObject> {
    checkKey(key);
    throwIfCancelled(signal);
    const { size } = await this.#resource(key, "name,size", signal);
    return { key, size };
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<StoredObject> {
    const { signal, after } = options;
    const start = normalPrefix(prefix);
    throwIfCancelled(signal);
    const { connections: parallel } = this.traits;
    const service = this.#service;
    const root = this.#options.prefix;
    const wanted = { service, root, prefix: start, after, parallel, signal };
    for await (const object of listObjects(wanted)) {
      throwIfCancelled(signal);
      yield object;
    }
  }

  async delete(key: string, { signal }: CallOptions = {}): Promise<void> {
    checkKey(key);
    throwIfCancelled(signal);
    const what = `delete ${key}`;
    const call: ServiceCall = { kind: "delete", method: "DELETE", path: this.#object(key), what };
    const answer = await this.#service.call({ ...call, expect: [404], signal });
    if (answer.status === 404 && !isAbsence(answer)) throw this.#error(what, answer);
  }

  async deleteMany(keys: readonly string[], options: CallOptions = {}): Promise<void> {
    for (const key of keys) checkKey(key);
    throwIfCancelled(options.signal);
    const { connections } = this.traits;
    if (this.#batches && keys.length > 1) {
      const batches = Array.from({ length: Math.ceil(keys.length / BATCH_MAX) }, (_, i) =>
        keys.slice(i * BATCH_MAX, (i + 1) * BATCH_MAX),
      );
      const work = (batch: readonly string[], _: number, signal: AbortSignal): Promise<void> =>
        this.#deleteBatch(batch, signal);
      await eachLimit(batches, connections, work, options);
      if (this.#batches) return;
    }
    await eachLimit(keys, connections, (key, _, signal) => this.delete(key, { signal }), options);
  }

  async startUpload(key: string, { signal }: CallOptions = {}): Promise<Upload> {
    checkKey(key);
    throwIfCancelled(signal);
    const what = `write ${key}`;
    const answer = await this.#service.call({
      kind: "put",
      method: "POST",
      path: `/upload${this.#objects}`,
      query: { uploadType: "resumable", ...this.#creation },
      headers: {
        "content-type": "application/json; charset=UTF-8",
        "x-upload-content-type": "application/octet-stream",
      },
      body: [Buffer.from(JSON.stringify(this.#metadata(key)))],
      what,
      expect: [412],
      signal,
    });
    if (answer.status === 412) {
      throw new HoldfastError("STORAGE_EXISTS", `${key} exists already`);
    }
    const service = this.#service;
    return resumableUpload({
      service,
      key,
      session: sessionOf(answer, service, key),
      accept: (resource, checksum, size) =>
        this.#accept(key, resource, { checksum, size, again: false }),
    });
  }

  inspect({ signal }: CallOptions = {}): Promise<StorageFact[]> {
    const required = this.#options.kmsKeyName;
    return inspectBucket({ service: this.#service, required, keysSeen: this.#keys.seen, signal });
  }

  close(): Promise<void> {
    return this.#service.close();
  }

  get #objects(): string {
    return `/storage/v1/b/${encodeURIComponent(this.#service.bucket)}/o`;
  }

  #object(key: string): string {
    return `${this.#objects}/${encodeURIComponent(this.#options.prefix + key)}`;
  }

  #boundary(): string {
    return `holdfast-${toHex(this.#context.random(18))}`;
  }

  /** What every creation of an object asks for. */
  get #creation(): Record<string, string | undefined> {
    const { kmsKeyName } = this.#options;
    return { ifGenerationMatch: "0", kmsKeyName, fields: RESOURCE_FIELDS };
  }

  #metadata(key: string): Record<string, string> {
    const { prefix, storageClass } = this.#options;
    const metadata: Record<string, string> = { name: prefix + key };
    if (storageClass !== undefined) {
      metadata["storageClass"] = isBulk(key) ? storageClass : "STANDARD";
    }
    return metadata;
  }

  async #resource(
    key: string,
    fields: string,
    signal: AbortSignal | undefined,
  ): Promise<ObjectResource> {
    const what = `look up ${key}`;
    const path = this.#object(key);
    const call: ServiceCall = { kind: "stat", method: "GET", path, query: { fields }, what };
    return resourceOf(await this.#service.call({ ...call, signal }), what);
  }

  async #read(key: string, { range, pin, into, signal }: RangeRead): Promise<WireAnswer> {
    const what = `read ${key}`;
    const answer = await this.#service.call({
      kind: "get",
      method: "GET",
      path: this.#object(key),
      query: { alt: "media", generation: pin },
      headers: range === undefined ? {} : { range },
      into,
      what,
      expect: [404, 416],
      signal,
    });
    if (answer.status !== 404) return answer;
    // Reads of content are refused in fewer words, and by emulators in none that could be known: those about the object
    // tell whether it is absent.
    if (!isAbsence(answer)) await this.stat(key, { signal });
    throw this.#error(what, answer);
  }

  /** What exists under the name must be equal to the body: by a hash that cannot be equal by chance. */
  async #compare(key: string, body: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    let found: ObjectResource;
    try {
      found = await this.#resource(key, "size,md5Hash,kmsKeyName", signal);
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.code !== "STORAGE_NOT_FOUND") throw error;
      throw new HoldfastError("STORAGE_UNAVAILABLE", `${key} is made and deleted by others`, {
        retryable: true,
      });
    }
    const sameSize = found.size === body.length;
    const same =
      sameSize &&
      (found.md5Hash === undefined
        ? equalBytes(await this.get(key, { signal }), body)
        : found.md5Hash === createHash("md5").update(body).digest("base64"));
    if (!same) throw new HoldfastError("STORAGE_EXISTS", `${key} exists with different content`);
    this.#keys.accept(key, found);
  }

  /**
   * Believes the service that an object is stored only when it says what it should; removes it otherwise. `again` says
   * whether the same call sends the content once more.
   */
  async #accept(
    key: string,
    stored: ObjectResource,
    { checksum, size, again }: { checksum: string; size: number; again: boolean },
  ): Promise<void> {
    const isWhole =
      stored.size === size && (stored.crc32c === undefined || stored.crc32c === checksum);
    try {
      if (!isWhole) {
        const code = again ? "STORAGE_UNAVAILABLE" : "STORAGE_FAILED";
        throw new HoldfastError(code, `${key} was damaged on its way`, { retryable: again });
      }
      this.#keys.accept(key, stored);
    } catch (error) {
      await this.#discard(key, stored);
      throw error;
    }
  }

  /** Removes what we made and may not leave there: that very generation, never what others made of the name since. */
  async #discard(key: string, { generation }: ObjectResource): Promise<void> {
    if (generation === undefined) return;
    const query = { ifGenerationMatch: generation };
    const call: ServiceCall = {
      kind: "delete",
      method: "DELETE",
      path: this.#object(key),
      query,
      what: `delete ${key}`,
      expect: [404, 412],
    };
    await this.#service.call(call).catch(() => undefined);
  }

  async #deleteBatch(keys: readonly string[], signal: AbortSignal): Promise<void> {
    const what = `delete ${keys.length} objects`;
    const service = this.#service;
    const requests = keys.map((key) => ({
      method: "DELETE",
      path: service.innerPath(this.#object(key)),
    }));
    const { contentType, parts } = batchBody(requests, this.#boundary());
    const answer = await service.call({
      kind: "delete",
      method: "POST",
      path: "/batch/storage/v1",
      headers: { "content-type": contentType },
      body: parts,
      what,
      // Services that only look like Google's may know no batches.
      expect: [400, 404, 405, 501],
      signal,
    });
    if (answer.status >= 400) {
      this.#batches = false;
      return;
    }
    const type = answer.headers["content-type"] ?? "";
    const answers = parseBatchAnswer(type, answer.body, keys.length);
    for (const [i, key] of keys.entries()) {
      const each = answers[i];
      const isGone = each !== undefined && (each.status < 300 || isAbsence(each));
      // Refusals and passing faults are told apart where one object is deleted.
      if (!isGone) await this.delete(key, { signal });
    }
  }

  #error(what: string, answer: WireAnswer): HoldfastError {
    return serviceError({
      what,
      answer,
      bucket: this.#service.bucket,
      now: this.#context.clock.now(),
    });
  }
}
