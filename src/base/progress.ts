// How far an operation is: plain counters that the engine moves up by plain calls, millions of times, and that
// whoever shows them reads a few times a second. Nothing here formats, prints or looks at a clock.

/** What has happened so far. Read it at any time; only Progress changes it. */
export interface ProgressCounters {
  /** What there is to do, as far as it is known. */
  readonly filesTotal: number;
  readonly directoriesTotal: number;
  readonly bytesTotal: number;
  /** The totals will not grow any more. */
  readonly totalKnown: boolean;
  readonly filesDone: number;
  readonly directoriesDone: number;
  readonly bytesDone: number;
  /** What needed no work: restored files that were there already. Not part of the others. */
  readonly filesSkipped: number;
  readonly bytesSkipped: number;
  readonly filesDeleted: number;
  readonly errors: number;
  /** What each lane of work is busy with, as byte-string paths; "" for an idle one. */
  readonly current: readonly string[];
}

export interface ProgressAmount {
  files?: number;
  directories?: number;
  bytes?: number;
}

/** One entry that is finished, for those who want to hear of each. */
export interface ProgressItem {
  action: "new" | "modified" | "unchanged" | "restored" | "updated" | "deleted";
  type: "file" | "directory" | "other";
  /** Byte string. */
  path: string;
  /** Bytes of the file. */
  size?: number;
  /** What a backup did with it: time taken, new bytes of content and of directory listings, plain and as stored. */
  seconds?: number;
  dataAdded?: number;
  dataStored?: number;
  treeAdded?: number;
  treeStored?: number;
}

/** Where something went wrong: while looking what there is, while backing up, or while restoring. */
export type ProgressStage = "scan" | "archival" | "restore";

/** The counters of one operation. The engine calls it, synchronously. */
export class Progress implements ProgressCounters {
  filesTotal = 0;
  directoriesTotal = 0;
  bytesTotal = 0;
  totalKnown = false;
  filesDone = 0;
  directoriesDone = 0;
  bytesDone = 0;
  filesSkipped = 0;
  bytesSkipped = 0;
  filesDeleted = 0;
  errors = 0;
  readonly current: string[] = [];

  /** Hears of every finished entry. Undefined, the usual case: do not build the item then. */
  onItem: ((item: ProgressItem) => void) | undefined = undefined;
  /** Hears of every entry that could not be processed. */
  onError: ((path: string, error: unknown, stage: ProgressStage) => void) | undefined = undefined;
  /** Hears that the totals are known. */
  onTotalKnown: (() => void) | undefined = undefined;

  /** More to do. */
  addTotal({ files = 0, directories = 0, bytes = 0 }: ProgressAmount): void {
    this.filesTotal += files;
    this.directoriesTotal += directories;
    this.bytesTotal += bytes;
  }

  /** The totals are complete. */
  totalComplete(): void {
    this.totalKnown = true;
    this.onTotalKnown?.();
  }

  /** Some of it is done. Bytes may be reported while their file is still under way. */
  done({ files = 0, directories = 0, bytes = 0 }: ProgressAmount): void {
    this.filesDone += files;
    this.directoriesDone += directories;
    this.bytesDone += bytes;
  }

  /** Some of it needed no work. */
  skipped({ files = 0, bytes = 0 }: ProgressAmount): void {
    this.filesSkipped += files;
    this.bytesSkipped += bytes;
  }

  /** Files that the snapshot does not have were deleted at the target. */
  deleted(files: number): void {
    this.filesDeleted += files;
  }

  /** Lane `lane` of the work is now busy with the file at `path`, or idle with "". */
  now(path: string, lane = 0): void {
    this.current[lane] = path;
  }

  /** The entry at `path` could not be processed, and the operation goes on without it. */
  failed(path: string, error: unknown, stage: ProgressStage): void {
    this.errors++;
    this.onError?.(path, error, stage);
  }
}
