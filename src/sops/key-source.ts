// How a document's data key is got at: what a SOPS file says of each key that wraps it, what an attempt to open one of them
// led to, and what the attempts may use. Nothing of the process is read here or below: it comes through KeyContext.

/** The kinds of master keys that a SOPS file can name, as its metadata calls them. */
export const KEY_KINDS = ["age", "pgp", "gcp_kms", "kms", "azure_kv", "hc_vault", "hckms"] as const;
export type KeyKind = (typeof KEY_KINDS)[number];

/** What AWS is told beside the name of a key; empty where there is nothing to tell. */
export interface AwsDetails {
  /** The role to assume. */
  readonly role: string;
  /** Names and values that were stated when the data key was wrapped. */
  readonly context: readonly (readonly [name: string, value: string])[];
  readonly profile: string;
}

/** The data key (or a share of it) under one master key. */
export interface WrappedKey {
  readonly kind: KeyKind;
  /** Who can open it: an age recipient, a PGP fingerprint, the resource of a KMS key. */
  readonly id: string;
  /** The `enc` field as it is in the file. */
  readonly enc: string;
  /** RFC 3339, where the file tells. */
  readonly createdAt: string | undefined;
  /** Of a key of AWS. */
  readonly aws?: AwsDetails | undefined;
}

/** What became of one wrapped key on this machine. */
export type KeyAttempt =
  | {
      readonly opened: true;
      readonly dataKey: Uint8Array;
      /** Where the key was found, for people: "SOPS_AGE_KEY", a file, "gpg", "Cloud KMS". Never a secret. */
      readonly where: string;
    }
  | {
      readonly opened: false;
      /** Why not, naming every place that was looked at. */
      readonly reason: string;
    };

/** One entry of a decryption Secret. */
export interface GivenKey {
  /** For people: the manifest or the folder, and the entry. */
  readonly name: string;
  readonly content: Uint8Array;
}

/** The keys of a decryption Secret as Flux takes it. */
export interface GivenKeys {
  /** For people: the manifest or the folder. */
  readonly place: string;
  /** Age identities: `*.agekey`. */
  readonly age: readonly GivenKey[];
  /** Exported PGP keys: `*.asc`. */
  readonly pgp: readonly GivenKey[];
  /** Credentials of Google's, the JSON itself: `sops.gcp-kms`. */
  readonly gcpKms: readonly GivenKey[];
}

export interface KeyContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The content of a file, or undefined when it does not exist; other failures are thrown. */
  readonly readFile: (path: string) => Promise<Uint8Array | undefined>;
  /** Runs a program without a shell; secrets go in through `input`, never as arguments. */
  readonly run: (
    program: string,
    args: readonly string[],
    input?: Uint8Array,
    env?: Readonly<Record<string, string | undefined>>,
  ) => Promise<{ status: number; stdout: Uint8Array; stderr: string }>;
  /** One HTTP request, for KMS. */
  readonly fetch: (
    url: string,
    init: { method: string; headers: Record<string, string>; body: string },
  ) => Promise<{ status: number; text: string }>;
  /** The decryption Secret that was named, read once; its keys are tried first. Throws what is wrong with it. */
  readonly given: () => Promise<GivenKeys | undefined>;
  /** An access token for a scope of Google's, by these credentials and no others, or by those of this machine. */
  readonly googleToken: (scope: string, credentials?: GivenKey) => Promise<string>;
  /**
   * One call of the key service of the `sops` on this machine: its answer, or why there is none. The messages are those of
   * keys/key-service.ts.
   */
  readonly askSops: (
    method: "Decrypt" | "Encrypt",
    request: Uint8Array,
  ) => Promise<Uint8Array | string>;
  /** Asks a person for the passphrase of an identity file; undefined where nobody can be asked. */
  readonly askPassphrase: ((what: string) => Promise<string>) | undefined;
  readonly random: (length: number) => Uint8Array;
  /** Use nothing that is not on this machine. */
  readonly offline: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Tries to open one wrapped key. Failing is an answer; thrown are only CANCELLED and what is wrong with the given keys. */
export type OpenKey = (key: WrappedKey, context: KeyContext) => Promise<KeyAttempt>;
/** Wraps a data key for a recipient; the `enc` field for the file. */
export type WrapKey = (
  kind: KeyKind,
  id: string,
  dataKey: Uint8Array,
  context: KeyContext,
  aws?: AwsDetails,
) => Promise<string>;
