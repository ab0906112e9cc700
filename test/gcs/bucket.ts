// One bucket of the double: its objects with their generations, and every rule by which Cloud Storage refuses
// something. Strict where the real one is, so that a client which passes here has had to get it right.

import { createHash } from "node:crypto";
import { crc32c } from "./crc32c.ts";
import { GcsError, invalid, notFound, preconditionFailed } from "./gcs-error.ts";

export type Permission =
  | "storage.objects.create"
  | "storage.objects.get"
  | "storage.objects.list"
  | "storage.objects.delete"
  | "storage.buckets.get";

export interface KmsKey {
  location: string;
  state: "ENABLED" | "DISABLED" | "DESTROYED";
  /** Whether the storage service's own account may use it. */
  granted: boolean;
}

export interface BucketSettings {
  name: string;
  /** Where the service answers, for the links in objects. */
  endpoint: string;
  location: string;
  storageClass: string;
  uniformAccess: boolean;
  defaultKmsKeyName: string | undefined;
  versioning: boolean;
  /** Seconds before an object may be deleted or replaced; 0 for no policy. */
  retentionSeconds: number;
  retentionLocked: boolean;
  /** Seconds for which deleted objects can be restored; 0 for not at all. */
  softDeleteSeconds: number;
  /** Believe the hashes that clients declare, and tell no others: for measurements of clients. */
  trusting: boolean;
  /** Refuse a second write of one name within a second. */
  limitWrites: boolean;
  /** What the caller may not do. */
  denied: Set<Permission>;
}

export interface StoredVersion {
  readonly name: string;
  readonly generation: string;
  readonly content: Buffer;
  readonly md5Hash: string;
  readonly crc32c: string;
  readonly kmsKeyName: string | undefined;
  readonly storageClass: string;
  readonly contentType: string;
  /** Milliseconds since 1970. */
  readonly created: number;
  temporaryHold: boolean;
  /** When it was deleted, while it can be restored. */
  deleted: number | undefined;
}

/** What a request says about the generation it expects. */
export interface Preconditions {
  ifGenerationMatch?: string | undefined;
  ifGenerationNotMatch?: string | undefined;
  ifMetagenerationMatch?: string | undefined;
}

/** The metadata of an upload, as the client states them. */
export interface ObjectMetadata {
  name?: string;
  md5Hash?: string;
  crc32c?: string;
  contentType?: string;
  storageClass?: string;
}

export interface Insertion {
  metadata: ObjectMetadata;
  content: Buffer;
  preconditions: Preconditions;
  kmsKeyName?: string | undefined;
  predefinedAcl?: string | undefined;
}

const STORAGE_CLASSES = new Set(["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"]);
const NAME_BYTES_MAX = 1024;

export class Bucket {
  readonly settings: BucketSettings;
  readonly #keys: Map<string, KmsKey>;
  readonly #now: () => number;
  readonly #live = new Map<string, StoredVersion>();
  readonly #former: StoredVersion[] = [];
  readonly #written = new Map<string, number>();
  /** What lives, in order; made anew after a change. */
  #sorted: StoredVersion[] | undefined;
  #generation = 1_700_000_000_000_000n;

  constructor(settings: BucketSettings, keys: Map<string, KmsKey>, now: () => number) {
    this.settings = settings;
    this.#keys = keys;
    this.#now = now;
  }

  /** Throws 403 when the caller lacks the right. */
  allow(permission: Permission, what: string): void {
    if (!this.settings.denied.has(permission)) return;
    const message =
      `holdfast@project.iam.gserviceaccount.com does not have ${permission} access to the Google Cloud Storage ` +
      `${what}. Permission '${permission}' denied on resource (or it may not exist).`;
    throw new GcsError(403, "forbidden", message);
  }

  /** What must hold before the first byte of an upload is taken: also when a resumable session is opened. */
  admit(insertion: Omit<Insertion, "content">): void {
    const { metadata, preconditions, predefinedAcl } = insertion;
    const name = metadata.name ?? "";
    if (name === "") throw new GcsError(400, "required", "Required");
    const { length } = Buffer.from(name);
    if (length > NAME_BYTES_MAX || /[\r\n]/.test(name) || name === "." || name === "..") {
      throw invalid(`Invalid object name: ${JSON.stringify(name)}`);
    }
    this.allow("storage.objects.create", "object");
    if (predefinedAcl !== undefined && this.settings.uniformAccess) {
      throw invalid(
        "Cannot insert legacy ACL for an object when uniform bucket-level access is enabled. Read more at " +
          "https://cloud.google.com/storage/docs/uniform-bucket-level-access",
      );
    }
    if (metadata.storageClass !== undefined && !STORAGE_CLASSES.has(metadata.storageClass)) {
      throw invalid("Invalid argument.");
    }
    this.#require(preconditions, this.#live.get(name));
    this.#useKey(insertion.kmsKeyName ?? this.settings.defaultKmsKeyName);
  }

  insert(insertion: Insertion): StoredVersion {
    this.admit(insertion);
    const { metadata, content } = insertion;
    const name = metadata.name!;
    const replaced = this.#live.get(name);
    if (replaced !== undefined) {
      this.allow("storage.objects.delete", "object");
      this.#releasable(replaced);
    }
    if (!this.settings.trusting) compareHashes(metadata, content);
    this.#limit(name);
    const key = insertion.kmsKeyName ?? this.settings.defaultKmsKeyName;
    // Slow enough to disturb measurements, and not every client asks for them.
    let md5Hash = metadata.md5Hash;
    let checksum = metadata.crc32c;
    const version: StoredVersion = {
      name,
      generation: String(++this.#generation),
      content,
      get md5Hash() {
        return (md5Hash ??= md5(content));
      },
      get crc32c() {
        return (checksum ??= crc32c(content));
      },
      kmsKeyName: key === undefined ? undefined : `${key}/cryptoKeyVersions/1`,
      storageClass: metadata.storageClass ?? this.settings.storageClass,
      contentType: metadata.contentType ?? "application/octet-stream",
      created: this.#now(),
      temporaryHold: false,
      deleted: undefined,
    };
    if (replaced !== undefined) this.#retire(replaced);
    this.#live.set(name, version);
    this.#sorted = undefined;
    return version;
  }

  /** The live version, or the one of `generation`. */
  get(name: string, generation?: string, preconditions: Preconditions = {}): StoredVersion {
    this.allow("storage.objects.get", "object");
    const live = this.#live.get(name);
    const found =
      generation === undefined || live?.generation === generation
        ? live
        : this.settings.versioning
          ? this.#former.find((each) => each.name === name && each.generation === generation)
          : undefined;
    if (found === undefined) throw notFound(this.settings.name, name);
    this.#require(preconditions, found);
    return found;
  }

  /** The content, which the key must still open. */
  read(version: StoredVersion): Buffer {
    this.#useKey(version.kmsKeyName?.replace(/\/cryptoKeyVersions\/\d+$/, ""));
    return version.content;
  }

  /** False when the key no longer opens the object: its hashes are unreadable then, too. */
  opens(version: StoredVersion): boolean {
    try {
      this.read(version);
      return true;
    } catch {
      return false;
    }
  }

  delete(name: string, generation: string | undefined, preconditions: Preconditions): void {
    this.allow("storage.objects.delete", "object");
    const live = this.#live.get(name);
    if (live === undefined || (generation !== undefined && generation !== live.generation)) {
      throw notFound(this.settings.name, name);
    }
    this.#require(preconditions, live);
    this.#releasable(live);
    this.#live.delete(name);
    this.#sorted = undefined;
    this.#retire(live);
  }

  /** Brings a deleted object back under a new generation. */
  restore(name: string, generation: string): StoredVersion {
    this.allow("storage.objects.create", "object");
    const found = this.#former.find((each) => each.name === name && each.generation === generation);
    if (found?.deleted === undefined || this.#isGone(found)) {
      throw notFound(this.settings.name, name);
    }
    const { contentType, storageClass, content } = found;
    return this.insert({
      metadata: { name, contentType, storageClass },
      content,
      preconditions: {},
    });
  }

  /** All objects of one kind, by name in the order of UTF-8 bytes. */
  all(softDeleted: boolean): StoredVersion[] {
    this.allow("storage.objects.list", "bucket");
    if (!softDeleted) return (this.#sorted ??= byName([...this.#live.values()]));
    return byName(this.#former.filter((each) => each.deleted !== undefined && !this.#isGone(each)));
  }

  /** What is stored under a name, whoever may see it: for tests. */
  peek(name: string): StoredVersion | undefined {
    return this.#live.get(name);
  }

  #require(preconditions: Preconditions, version: StoredVersion | undefined): void {
    const { ifGenerationMatch, ifGenerationNotMatch, ifMetagenerationMatch } = preconditions;
    const generation = version?.generation ?? "0";
    if (ifGenerationMatch !== undefined && ifGenerationMatch !== generation) {
      throw preconditionFailed();
    }
    if (ifGenerationNotMatch !== undefined && ifGenerationNotMatch === generation) {
      throw preconditionFailed();
    }
    if (ifMetagenerationMatch !== undefined && ifMetagenerationMatch !== "1") {
      throw preconditionFailed();
    }
  }

  #useKey(name: string | undefined): void {
    if (name === undefined) return;
    const key = this.#keys.get(name);
    if (key === undefined || !key.granted) {
      const message =
        "Permission denied on Cloud KMS key. Please ensure that your Cloud Storage service account has been " +
        "authorized to use this key.";
      throw new GcsError(403, "forbidden", message);
    }
    if (key.location !== this.settings.location) {
      throw invalid("Cloud KMS key location does not match the location of the bucket.");
    }
    if (key.state !== "ENABLED") {
      throw new GcsError(
        400,
        "failedPrecondition",
        `${name}/cryptoKeyVersions/1 is not enabled, current state is: ${key.state}.`,
      );
    }
  }

  #releasable(version: StoredVersion): void {
    const { name, retentionSeconds } = this.settings;
    if (version.temporaryHold) {
      throw new GcsError(
        403,
        "objectUnderActiveHold",
        `Object '${name}/${version.name}' is under active Temporary hold and cannot be deleted, overwritten or archived until hold is removed.`,
      );
    }
    const until = version.created + retentionSeconds * 1000;
    if (retentionSeconds > 0 && this.#now() < until) {
      throw new GcsError(
        403,
        "retentionPolicyNotMet",
        `Object '${name}/${version.name}' is subject to bucket's retention policy or object retention and cannot be deleted or overwritten until ${new Date(until).toISOString()}`,
      );
    }
  }

  #limit(name: string): void {
    const last = this.#written.get(name);
    if (this.settings.limitWrites && last !== undefined && this.#now() - last < 1000) {
      const message = `The object ${this.settings.name}/${name} exceeded the rate limit for object mutation operations (create, update, and delete). Please reduce your request rate.`;
      throw new GcsError(429, "rateLimitExceeded", message);
    }
    this.#written.set(name, this.#now());
  }

  #retire(version: StoredVersion): void {
    const { softDeleteSeconds, versioning } = this.settings;
    if (!versioning && softDeleteSeconds === 0) return;
    version.deleted = this.#now();
    this.#former.push(version);
  }

  #isGone(version: StoredVersion): boolean {
    return this.#now() - version.deleted! > this.settings.softDeleteSeconds * 1000;
  }
}

function byName(versions: StoredVersion[]): StoredVersion[] {
  const names = new Map(versions.map((each) => [each, Buffer.from(each.name)]));
  return versions.sort((a, b) => Buffer.compare(names.get(a)!, names.get(b)!));
}

/** Throws 400 when the content is not what the client says it is. */
function compareHashes(metadata: ObjectMetadata, content: Buffer): void {
  const declared = metadata.md5Hash;
  if (declared !== undefined && declared !== md5(content)) {
    throw invalid(
      `Provided MD5 hash "${declared}" doesn't match calculated MD5 hash "${md5(content)}".`,
    );
  }
  if (metadata.crc32c !== undefined && metadata.crc32c !== crc32c(content)) {
    throw invalid(`Provided CRC32C "${metadata.crc32c}" doesn't match calculated CRC32C.`);
  }
}

function md5(content: Buffer): string {
  return createHash("md5").update(content).digest("base64");
}
