// What every request to one bucket needs, and the two questions that several operations ask: is there an object, and
// what is in it.

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { BackendContext } from "../backend.ts";
import type { S3Options } from "../s3.ts";
import type { CallOptions, GetOptions } from "../storage.ts";
import { failedWith } from "./client.ts";
import type { Client } from "./client.ts";
import { Conditions } from "./create-only.ts";
import type { ToldEncryption } from "./encryption.ts";
import { readObject } from "./read.ts";

export interface FoundObject {
  readonly size: number;
  /** In base 64, when the service keeps one of the whole object. */
  readonly sha256: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly encryption: ToldEncryption;
}

/** Requests at once. */
export const CONNECTIONS: number = 16;

/** Objects whose reading is needed to use the rest, or which live for hours. */
const NEVER_COLD = /^(?:config$|(?:keys|locks|index|snapshots)\/)/;

export class Bucket {
  readonly client: Client;
  readonly options: S3Options;
  readonly context: BackendContext;
  readonly conditions: Conditions;
  readonly connections: number;

  constructor(client: Client, options: S3Options, context: BackendContext) {
    this.client = client;
    this.options = options;
    this.context = context;
    this.connections = options.connections ?? CONNECTIONS;
    const isTrusted = options.endpoint === undefined;
    this.conditions = new Conditions({ isTrusted, notice: context.notice });
  }

  /** Where an object is, as a command's input says it. */
  nameOf(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.options.bucket, Key: `${this.options.prefix}${key}` };
  }

  storageClassOf(key: string): { StorageClass?: never } {
    const { storageClass } = this.options;
    if (storageClass === undefined || NEVER_COLD.test(key)) return {};
    return { StorageClass: storageClass as never };
  }

  /**
   * What is known of the object; undefined when the service says no more than 404, which it also does without the bucket
   * or the user. `prove` finds out.
   */
  async find(
    key: string,
    options: CallOptions & { withChecksum?: boolean },
  ): Promise<FoundObject | undefined> {
    const command = new this.client.sdk.HeadObjectCommand({
      ...this.nameOf(key),
      ...(options.withChecksum && { ChecksumMode: "ENABLED" }),
    });
    try {
      const { output } = await this.client.send(command, {
        kind: "stat",
        what: `look up ${key}`,
        permission: "s3:GetObject and s3:ListBucket",
        signal: options.signal,
      });
      const { ChecksumSHA256: sha256, ChecksumType } = output;
      return {
        size: output.ContentLength ?? 0,
        // The checksum of an object of many parts is one of their checksums.
        sha256: ChecksumType === "COMPOSITE" || sha256?.includes("-") ? undefined : sha256,
        metadata: output.Metadata ?? {},
        encryption: output,
      };
    } catch (error) {
      if (failedWith(error, "NoSuchBucket")) throw error;
      if (isHoldfastError(error, "STORAGE_NOT_FOUND")) return undefined;
      throw error;
    }
  }

  /** As `find`, but throws when there is none: STORAGE_NOT_FOUND only where the service says so in words. */
  async prove(key: string, { signal }: CallOptions): Promise<FoundObject> {
    const found = await this.find(key, { signal });
    if (found !== undefined) return found;
    // Other than to HEAD, the answer has a body that tells what is absent.
    await this.read(key, { length: 1, signal });
    const appeared = await this.find(key, { signal });
    if (appeared !== undefined) return appeared;
    const message = `cannot look up ${key}: it came and went meanwhile`;
    throw new HoldfastError("STORAGE_UNAVAILABLE", message, { retryable: true });
  }

  /** The bytes of an object, as `get` of the contract. */
  read(key: string, options: GetOptions): Promise<Uint8Array> {
    return readObject(this, key, options);
  }
}
