// What a capture is given, and what it tells: events as they happen, and a report of each tick.

import type { Id } from "../base/bytes.ts";
import type { HoldfastError } from "../base/errors.ts";
import type { MetadataContext } from "../files/metadata.ts";
import type { Connection } from "../postgres/connection.ts";
import type { PruneResult } from "../repository/prune.ts";
import type { Repository } from "../repository/repository.ts";
import type { JointPosition } from "./capture-mark.ts";

export interface CaptureOptions {
  /** The repository with the full snapshots: it is only read. */
  readonly main: Repository;
  readonly captures: Repository;
  /** Absolute path of the filestore: the folder of ab/ab12…. */
  readonly folder: string;
  /** Name of the database, which is that of the filestore's folder. */
  readonly database: string;
  /** Connects to the database; without it captures belong to no moment. The connection is kept, and made anew after failures. */
  readonly connect?: ((signal: AbortSignal) => Promise<Connection>) | undefined;
  readonly metadata: MetadataContext;
  readonly hostname: string;
  readonly programVersion: string;
  /** Milliseconds to wait for a lock that another program holds; 0 by default. */
  readonly retryLock?: number;
  readonly onEvent: (event: CaptureEvent) => void;
}

export type CaptureEvent =
  /** Capturing begins, or begins anew: after a full snapshot, or after a failure. */
  | { readonly kind: "opened"; readonly since: Id | undefined; readonly known: number }
  | { readonly kind: "tick"; readonly report: TickReport }
  /** The tick failed; the next one comes after `delay` milliseconds. */
  | { readonly kind: "failed"; readonly error: unknown; readonly delay: number }
  /** The database did not answer: files are captured, and the position stays what it was. */
  | { readonly kind: "database"; readonly error: HoldfastError }
  /** A file at the source has another content than its name says. It was `stored` before, or never. */
  | { readonly kind: "corrupt"; readonly path: string; readonly stored: boolean }
  /** Rows refer to a file that is not at the source. It is `stored` in an older snapshot, or nowhere. */
  | { readonly kind: "missing"; readonly path: string; readonly stored: boolean }
  /** Something in the filestore that Odoo does not put there. */
  | { readonly kind: "stranger"; readonly path: string }
  | { readonly kind: "merged"; readonly result: PruneResult }
  | { readonly kind: "notice"; readonly text: string };

/** What a tick did. */
export interface TickReport {
  /** Undefined when there was nothing to commit. */
  readonly capture: Id | undefined;
  readonly since: Id | undefined;
  /** When it began, in milliseconds since 1970. */
  readonly time: number;
  /** Milliseconds it took. */
  readonly duration: number;
  /** The position up to which the capture is complete: that of an earlier tick when the database was not asked. */
  readonly position: JointPosition | undefined;
  /** Whether the position is of this tick. */
  readonly isJoint: boolean;
  /** New files and their bytes. */
  readonly newFiles: number;
  readonly newBytes: number;
  /** Bytes that were stored for them, with trees. */
  readonly storedBytes: number;
  /** Files of the capture. */
  readonly files: number;
  /** Names known to be in the pool. */
  readonly known: number;
  /** Files that were half-written when the tick ended. */
  readonly torn: number;
  readonly corrupt: number;
  readonly missing: number;
  readonly unreadable: number;
  /** What of the database was compared. */
  readonly compared: "all" | "new" | "nothing";
}

export interface CaptureSummary {
  readonly ticks: number;
  readonly failures: number;
  readonly newFiles: number;
  readonly newBytes: number;
  readonly last: TickReport | undefined;
}
