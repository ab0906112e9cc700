// What the rows of `ir_attachment` refer to, at one position of the database: the shape that the reading of it gives
// (src/odoo/read-references.ts), and everything that compares files with rows takes.

import type { JointPosition } from "./capture-mark.ts";
import type { Sha1Set } from "./sha1-set.ts";
import { storePath } from "./store-name.ts";

/** Bits of `FileReferences.flags`. */
export const REFERENCE: {
  /** Every row of the file is an asset bundle, which Odoo makes again when its row goes. */
  readonly regenerable: 1;
  /** The rows contradict each other, or the name, about size or checksum. */
  readonly contradictory: 2;
} = { regenerable: 1, contradictory: 2 };

/** The files that are referred to, each once; the arrays have an entry for each number of the set. */
export interface FileReferences {
  readonly names: Sha1Set;
  /** Bytes as the rows say, -1 where they do not. */
  readonly sizes: Float64Array;
  /** How many rows refer to the file. */
  readonly rows: Uint32Array;
  readonly flags: Uint8Array;
  /** Files of old three-digit folders: SHA-1 to path below the filestore. All others are where `storePath` says. */
  readonly oldPaths: ReadonlyMap<string, string>;
}

export interface References {
  /** Name of the database. */
  readonly database: string;
  readonly position: JointPosition;
  readonly files: FileReferences;
  /** Rows of any kind. */
  readonly rows: number;
  /** Rows whose content is outside the filestore, by scheme of `store_fname`. */
  readonly external: ReadonlyMap<string, number>;
  /** Rows of type `cloud_storage`: browsers uploaded them to a bucket that no backup of the filestore holds. */
  readonly cloud: number;
  /** Rows of type `url` without a file. */
  readonly urls: number;
  /** Rows whose content is in the database itself. */
  readonly inDatabase: number;
  /** Rows without content: no file is missing. */
  readonly empty: number;
  /** `store_fname`s that mean nothing, at most 100 of them. */
  readonly unknown: readonly string[];
}

/** Where a file lies below its filestore's folder. */
export function pathOf(files: FileReferences, sha1: string): string {
  return files.oldPaths.get(sha1) ?? storePath(sha1);
}
