// Objects in a bucket of S3, or of another service with its interface. The reasons stand in docs/decisions/storage.md#s3.

import { throwIfCancelled } from "../base/cancellation.ts";
import { HoldfastError } from "../base/errors.ts";
import type { BackendContext } from "./backend.ts";
import { checkKey } from "./keys.ts";
import { Bucket, CONNECTIONS } from "./s3/bucket.ts";
import { openClient } from "./s3/client.ts";
import { putObject, replaceObject } from "./s3/create-only.ts";
import { inspectBucket, makeBucket } from "./s3/inspect.ts";
import { deleteObject, Deletions, listObjects } from "./s3/listing.ts";
import { startUpload } from "./s3/upload.ts";
import type {
  CallOptions,
  GetOptions,
  ListOptions,
  Storage,
  StorageFact,
  StorageTraits,
  StoredObject,
  Upload,
  UploadOptions,
} from "./storage.ts";

export type S3Credentials =
  | {
      readonly kind: "keys";
      readonly accessKeyId: string;
      readonly secretAccessKey: string;
      readonly sessionToken?: string | undefined;
    }
  /** What the environment given offers: variables, profile files, web identity, the container's or machine's role. */
  | { readonly kind: "default"; readonly profile?: string | undefined }
  /** Unsigned requests. */
  | { readonly kind: "anonymous" };

export interface AssumedRole {
  readonly arn: string;
  readonly sessionName?: string | undefined;
  readonly externalId?: string | undefined;
  /** JSON of a policy that narrows what the role allows. */
  readonly policy?: string | undefined;
  readonly region?: string | undefined;
  /** Address of STS; Amazon's by default. */
  readonly endpoint?: string | undefined;
}

export interface S3Options {
  readonly bucket: string;
  /** "" or a path with a final "/" below which all keys lie. */
  readonly prefix: string;
  readonly credentials: S3Credentials;
  /** Address of the service with its scheme; Amazon's by default. */
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  /** bucket in the path instead of the host name; by default for everything but Amazon. */
  readonly pathStyle?: boolean | undefined;
  /** A role of STS to act in, with the credentials as the way to it. */
  readonly assumeRole?: AssumedRole | undefined;
  /** "AES256" or "aws:kms". */
  readonly serverSideEncryption?: string | undefined;
  /** The key of "aws:kms"; when given, anything else in an answer is refused. */
  readonly kmsKeyId?: string | undefined;
  /** Of packs and archives; what is read or deleted often stays in STANDARD. */
  readonly storageClass?: string | undefined;
  readonly connections?: number | undefined;
  /** Where it is, for people; `s3:endpoint/bucket/prefix` by default. */
  readonly location?: string | undefined;
}

/** Opens a bucket, which is made when the context says so. Nothing is asked of the service otherwise. */
export async function openS3Storage(options: S3Options, context: BackendContext): Promise<Storage> {
  const { prefix } = options;
  if (prefix !== "" && !prefix.endsWith("/")) {
    throw new HoldfastError("BUG", `the prefix ${prefix} does not end in "/"`);
  }
  const { connections = CONNECTIONS } = options;
  const client = await openClient(options, context, connections);
  const bucket = new Bucket(client, options, context);
  try {
    if (context.create) await makeBucket(bucket, { signal: context.signal });
  } catch (error) {
    await bucket.client.close();
    throw error;
  }
  return new S3Storage(bucket);
}

class S3Storage implements Storage {
  readonly location: string;
  readonly traits: StorageTraits;
  readonly #bucket: Bucket;
  readonly #deletions: Deletions;

  constructor(bucket: Bucket) {
    const { bucket: name, prefix, endpoint = "s3.amazonaws.com", location } = bucket.options;
    const host = endpoint.replace(/^https:\/\//, "").replace(/\/$/, "");
    this.location = location ?? `s3:${host}/${name}/${prefix}`;
    this.traits = {
      local: false,
      strongLists: true,
      connections: bucket.connections,
    };
    this.#bucket = bucket;
    this.#deletions = new Deletions(bucket);
  }

  async put(key: string, body: Uint8Array, options: CallOptions = {}): Promise<void> {
    begin(key, options);
    await putObject(this.#bucket, { key, body }, options);
  }

  async replace(key: string, body: Uint8Array, options: CallOptions = {}): Promise<void> {
    begin(key, options);
    await replaceObject(this.#bucket, { key, body }, options);
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    begin(key, options);
    return await this.#bucket.read(key, options);
  }

  async stat(key: string, options: CallOptions = {}): Promise<StoredObject> {
    begin(key, options);
    const { size } = await this.#bucket.prove(key, options);
    return { key, size };
  }

  list(prefix: string, options: ListOptions = {}): AsyncIterable<StoredObject> {
    return listObjects(this.#bucket, prefix, options);
  }

  async delete(key: string, options: CallOptions = {}): Promise<void> {
    begin(key, options);
    await deleteObject(this.#bucket, key, options);
  }

  async deleteMany(keys: readonly string[], options: CallOptions = {}): Promise<void> {
    throwIfCancelled(options.signal);
    for (const key of keys) checkKey(key);
    await this.#deletions.run(keys, options);
  }

  async startUpload(key: string, options: UploadOptions = {}): Promise<Upload> {
    begin(key, options);
    return await startUpload(this.#bucket, key, options);
  }

  async inspect(options: CallOptions = {}): Promise<StorageFact[]> {
    throwIfCancelled(options.signal);
    return await inspectBucket(this.#bucket, options);
  }

  close(): Promise<void> {
    return this.#bucket.client.close();
  }
}

function begin(key: string, { signal }: CallOptions): void {
  checkKey(key);
  throwIfCancelled(signal);
}
