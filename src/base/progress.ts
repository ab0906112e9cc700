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
  /** What there was to do the last time, 0 when nobody knows: an estimate until the totals are known. */
  readonly filesExpected: number;
  readonly bytesExpected: number;
  readonly filesDone: number;
  readonly directoriesDone: number;
  readonly bytesDone: number;
  /** What needed no work: restored files that were there already. Not part of the others. */
  readonly filesSkipped: number;
  readonly bytesSkipped: number;
  readonly filesDeleted: number;
  /** Entries that could not be processed. */
  readonly errors: number;
  /** What each lane of work is busy with, paths as text; "" for an idle one. */
  readonly current: readonly string[];
}

export interface ProgressAmount {
  files?: number;
  directories?: number;
  bytes?: number;
}

/** The counters of one operation. */
export class Progress implements ProgressCounters {
  filesTotal = 0;
  directoriesTotal = 0;
  bytesTotal = 0;
  totalKnown = false;
  filesExpected = 0;
  bytesExpected = 0;
  filesDone = 0;
  directoriesDone = 0;
  bytesDone = 0;
  filesSkipped = 0;
  bytesSkipped = 0;
  filesDeleted = 0;
  errors = 0;
  readonly current: string[] = [];

  /** More to do. */
  addTotal({ files = 0, directories = 0, bytes = 0 }: ProgressAmount): void {
    this.filesTotal += files;
    this.directoriesTotal += directories;
    this.bytesTotal += bytes;
  }

  /** The totals are complete: from now on the time left can be estimated. */
  totalComplete(): void {
    this.totalKnown = true;
  }

  /** There will be about as much to do as this. */
  expect({ files = 0, bytes = 0 }: ProgressAmount): void {
    this.filesExpected = files;
    this.bytesExpected = bytes;
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

  /** One more entry could not be processed. */
  failed(): void {
    this.errors++;
  }
}
