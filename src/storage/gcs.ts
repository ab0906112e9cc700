// Objects in a bucket of Google Cloud Storage, through its JSON API.

/** Where a token comes from. */
export type GoogleCredentials =
  /** No token at all: public buckets and emulators. */
  | { readonly kind: "anonymous" }
  /** A ready access token. */
  | { readonly kind: "token"; readonly token: string }
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
