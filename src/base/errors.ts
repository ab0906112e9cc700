// The one error type of Holdfast: what happened, where, why, and how to fix it.
//
// Every failure a person can meet has a stable code from ERROR_CODES, documented in docs/errors.md
// (test/tidy.test.ts keeps the two equal). The CLI turns a code into an exit status; a loop looks at
// `retryable`. Messages never carry a credential.

export const ERROR_CODES = {
  BUG: "a defect in Holdfast itself",
  USAGE: "the command line or an environment variable is not valid",
  CANCELLED: "stopped by a signal or by the caller",
  INCOMPLETE: "finished, but some items could not be processed",
  REPO_NOT_FOUND: "there is no repository at this location",
  REPO_EXISTS: "a repository, or what is left of one, already exists at this location",
  REPO_UNSUPPORTED: "the repository uses a format or feature that is not supported",
  REPO_CONFIG_DAMAGED: "the repository's config cannot be decrypted or understood",
  REPO_LOCKED: "another process holds a conflicting lock",
  LOCK_LOST: "our own lock could not be refreshed, so writing had to stop",
  LOCK_DAMAGED: "a lock file cannot be decrypted or understood",
  PRUNE_REFUSED: "nothing was removed, because what is needed is missing or damaged",
  WRONG_PASSWORD: "no key of the repository opens with this password",
  KEY_DAMAGED: "a key file cannot be understood",
  INDEX_DAMAGED: "an index file cannot be decrypted or understood",
  PACK_DAMAGED: "a pack file is truncated or its header does not add up",
  BLOB_DAMAGED: "a blob's content does not match its name in any copy",
  BLOB_MISSING: "a blob is in no index",
  TREE_DAMAGED: "a directory listing in the repository is not valid",
  TREE_HOSTILE: "a directory listing in the repository names a path outside its directory",
  SNAPSHOT_DAMAGED: "a snapshot file cannot be decrypted or understood",
  SNAPSHOT_NOT_FOUND: "no snapshot matches",
  SNAPSHOT_LAST: "keep rules would remove every snapshot of a group",
  SNAPSHOT_SHRUNK: "the newest snapshot is suspiciously smaller than one before it",
  FILE_DAMAGED: "a repository file does not match its name or its authentication code",
  PATH_NOT_FOUND: "the path is not in the snapshot",
  SOURCE_MISSING: "nothing to back up: the source does not exist",
  SOURCE_EMPTY: "nothing to back up: the source directory is empty",
  SOURCE_UNREADABLE: "a source file or directory cannot be read",
  TARGET_UNWRITABLE: "the restore target cannot be written",
  RESTORE_DIFFERS: "restored files do not match the snapshot",
  CHECK_FAILED: "the repository has errors",
  SOPS_INVALID: "the file is no SOPS document, or a damaged one",
  SOPS_NO_KEY: "no key on this machine opens the SOPS document",
  SOPS_MAC_MISMATCH: "the SOPS document was changed after it was encrypted",
  SOPS_DECRYPT_FAILED: "a value of the SOPS document does not open with its data key",
  SOPS_ENCRYPTED: "the document is encrypted already",
  BARMAN_NAME_INVALID: "a name or position in the archive is not valid",
  BARMAN_INFO_DAMAGED: "a backup.info cannot be understood, or contradicts itself",
  BARMAN_HISTORY_DAMAGED: "a timeline history cannot be understood, or contradicts another one",
  BARMAN_TIMELINE_UNKNOWN: "the archive does not say where the timeline comes from",
  ARCHIVE_NOT_FOUND: "there is no archive of that server at this location",
  ARCHIVE_FOREIGN: "the archive belongs to another PostgreSQL cluster, or to another program",
  WAL_INVALID: "a file is not the piece of WAL that its name says",
  WAL_DIFFERS: "the archive holds different WAL under the same name",
  WAL_MISSING: "WAL that is needed is not in the archive",
  BACKUP_NOT_FOUND: "no base backup matches",
  BACKUP_DAMAGED: "a base backup is incomplete, or does not match its manifest",
  PAGES_DAMAGED: "the database itself has pages that do not match their checksums",
  TARGET_UNREACHABLE: "the archive cannot bring the database to that moment",
  POSTGRES_UNREACHABLE: "the PostgreSQL server did not answer",
  POSTGRES_DENIED: "the PostgreSQL server refused the user, or what the user may do",
  POSTGRES_SETTING: "a setting of the PostgreSQL server stands in the way",
  POSTGRES_FAILED: "the PostgreSQL server ended with an error",
  POSTGRES_NOT_FOUND: "there are no PostgreSQL server programs of that version here",
  ODOO_NOT_FOUND: "the database, or the directory, is none of Odoo's",
  ODOO_INCONSISTENT: "attachments of the database have no file, or one with another content",
  ODOO_FILE_TORN: "a stored file of Odoo's is not the content that its name promises",
  PLAN_INVALID: "the plan of a file cannot be understood, or asks for what cannot be",
  WATERMARK_BEHIND: "database and files can return together only to a moment that is too long ago",
  RECOVERY_INCOMPLETE: "a moment was recovered, but not all files that its database refers to",
  FILES_MISSING: "files that the database refers to are nowhere to be had",
  DRILL_FAILED: "a drill did not bring back what it should have",
  STAGING_UNSAFE: "a copy for tests could still do what only the original may",
  ATTACHMENT_NOT_FOUND: "no attachment matches, or its content is nowhere",
  CLUSTER_UNREACHABLE: "the Kubernetes API server did not answer",
  CLUSTER_DENIED: "the Kubernetes API server refused what the service account may do",
  CLUSTER_INVALID: "the Kubernetes API server refused an object as not valid",
  CLUSTER_NOT_FOUND: "the object is not in the cluster",
  CLUSTER_EXISTS: "an object of that name is in the cluster already",
  CLUSTER_CONFLICT: "somebody else changed the object first",
  CLUSTER_GONE: "the API server no longer knows that far back",
  CLUSTER_FAILED: "the Kubernetes API server failed",
  RESOURCE_INVALID: "a resource asks for what cannot be",
  SECRET_INVALID: "a Secret is missing, or lacks a key",
  BACKEND_UNSUPPORTED: "the repository is on a storage that is not supported",
  VOLUME_NOT_READY: "a volume, or a snapshot of one, does not become ready",
  VOLUME_IN_USE: "a volume that is to be written is in use",
  OTHER_OWNER: "the files of a volume belong to another user than its mover is",
  MOVER_FAILED: "a mover ended without success",
  CREDENTIALS_INVALID: "the credentials for the storage cannot be used",
  STORAGE_NOT_FOUND: "the object does not exist",
  STORAGE_EXISTS: "an object of that name exists with different content",
  STORAGE_DENIED: "the storage refused access",
  STORAGE_FULL: "the storage has no space left",
  STORAGE_WRONG_KEY: "the storage did not encrypt an object with the required key",
  STORAGE_UNAVAILABLE: "the storage did not answer, or answered with a passing fault",
  STORAGE_FAILED: "the storage failed permanently",
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface ErrorFields {
  /** How to fix it: one imperative sentence for a person. */
  hint?: string;
  /** True when trying the same thing again may succeed. */
  retryable?: boolean;
  /** Milliseconds that the other side asked to be left alone for, when it said so. */
  retryAfter?: number | undefined;
  cause?: unknown;
}

/** An expected failure. `message` says what and where, `hint` what to do about it. */
export class HoldfastError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly retryable: boolean;
  readonly retryAfter: number | undefined;

  constructor(code: ErrorCode, message: string, fields: ErrorFields = {}) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = "HoldfastError";
    this.code = code;
    this.hint = fields.hint;
    this.retryable = fields.retryable ?? false;
    this.retryAfter = fields.retryAfter;
  }
}

/** True when `error` is a HoldfastError, of one of the given codes if any are given. */
export function isHoldfastError(error: unknown, ...codes: ErrorCode[]): error is HoldfastError {
  return error instanceof HoldfastError && (codes.length === 0 || codes.includes(error.code));
}

/** The errno name (`ENOENT`, `EACCES`, …) of a Node system error, or undefined. */
export function errnoOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** One line for a person: the message of any thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
