// What a capture has found to be wrong at the source: files that rows refer to and that are nowhere, and files whose content is
// not that of their name. Their numbers stand in the mark, their names beside the filestore in the capture.

import type { Clock } from "../../base/clock.ts";
import type { CaptureMark } from "../capture-mark.ts";
import {
  CORRUPT_FILE,
  decodeLines,
  encodeLines,
  MISSING_FILE,
  type CorruptAtSource,
  type MissingAtSource,
} from "../capture-side-files.ts";
import type { Candidate } from "./filestore-source.ts";
import type { Intake } from "./intake.ts";
import type { CaptureSession } from "./session.ts";

/** A file at the source that is not what its name says. */
export interface Wrong extends Candidate {
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly since: number;
}

/** What was compared with the database. */
export interface Compared {
  /** Names that rows refer to, and that are neither known nor there. */
  readonly absent: readonly Candidate[];
  readonly isFull: boolean;
  /** Of the names that are there and could not be taken, those that rows refer to. */
  readonly referred: ReadonlySet<string>;
  /** True when a good copy is in an older snapshot. */
  readonly isStored: (sha1: string) => boolean;
}

export interface FindingsOptions {
  readonly clock: Clock;
  readonly onMissing: (path: string, stored: boolean) => void;
}

export class Findings {
  readonly #options: FindingsOptions;
  /** Undefined until the database was compared once. */
  #missing: Map<string, MissingAtSource> | undefined;
  #referred: ReadonlySet<string> | undefined;
  #isStored: (sha1: string) => boolean = () => false;
  #corrupt: readonly CorruptAtSource[] = [];
  /** When what an earlier capture told was found. */
  #known = new Map<string, string>();
  /** What the mark of an earlier capture counted. */
  #before: Pick<CaptureMark, "missing" | "corrupt"> = { missing: 0, corrupt: 0 };
  #texts = new Map<string, string>();

  constructor(options: FindingsOptions) {
    this.#options = options;
  }

  /** Files that rows refer to and that are nowhere. */
  get missing(): number {
    if (this.#missing === undefined) return this.#before.missing;
    return [...this.#missing.values()].filter(({ stored }) => !stored).length;
  }

  /** Files of wrong content that are not in the pool: of those that rows refer to, or of all when no database was asked. */
  get corrupt(): number {
    return this.#corrupt.filter(({ referenced, stored }) => referenced !== false && !stored).length;
  }

  /** Names that were missing when they were looked for last. */
  get missed(): readonly Candidate[] {
    const missing = [...(this.#missing?.values() ?? [])];
    return missing.map(({ sha1, path }) => ({ sha1, folder: path.slice(0, path.indexOf("/")) }));
  }

  /** Begins with what the newest capture tells. */
  async open(session: CaptureSession, signal: AbortSignal): Promise<void> {
    this.#texts.clear();
    const { mark, side } = session;
    if (mark !== undefined) this.#before = mark;
    for (const path of [MISSING_FILE, CORRUPT_FILE]) {
      const bytes = await side.read(path, signal).catch(() => undefined);
      if (bytes === undefined) continue;
      this.#texts.set(path, Buffer.from(bytes).toString("utf8"));
      for (const { sha1, since } of decodeLines(bytes)) this.#known.set(sha1, since);
    }
  }

  /** Takes what was compared. */
  compared({ absent, isFull, referred, isStored }: Compared): void {
    const before = this.#missing ?? new Map<string, MissingAtSource>();
    const missing = isFull ? new Map<string, MissingAtSource>() : before;
    for (const { sha1, folder } of absent) {
      const path = `${folder}/${sha1}`;
      const stored = isStored(sha1);
      if (!before.has(sha1) && !this.#known.has(sha1)) this.#options.onMissing(path, stored);
      missing.set(sha1, { sha1, path, since: this.#since(sha1), stored });
    }
    this.#missing = missing;
    this.#referred = referred;
    this.#isStored = isStored;
  }

  /** Drops what is no longer wrong, and takes down what is. `spoiled`: of wrong content, though a good copy is stored. */
  update(intake: Intake, spoiled: Iterable<Wrong>, isKnown: (sha1: string) => boolean): void {
    for (const sha1 of this.#missing?.keys() ?? []) {
      if (isKnown(sha1)) this.#missing!.delete(sha1);
    }
    const lines = new Map<string, CorruptAtSource>();
    const add = ({ sha1, folder, size, since }: Wrong, stored: boolean): void => {
      const referenced = this.#referred === undefined ? null : this.#referred.has(sha1);
      const path = `${folder}/${sha1}`;
      lines.set(sha1, { sha1, path, since: this.#since(sha1, since), size, referenced, stored });
    };
    for (const file of intake.corrupt.values()) add(file, this.#isStored(file.sha1));
    // One that is being written is not corrupt, unless a row refers to it: by then it should be whole.
    for (const file of intake.unsettled) {
      if (this.#referred?.has(file.sha1)) add(file, this.#isStored(file.sha1));
    }
    for (const file of spoiled) add(file, true);
    this.#corrupt = [...lines.values()];
  }

  /** True when the counts are not those of the mark. */
  isChanged(mark: CaptureMark | undefined): boolean {
    return this.missing !== (mark?.missing ?? 0) || this.corrupt !== (mark?.corrupt ?? 0);
  }

  /** Puts the names into the capture that is being made. */
  async write(session: CaptureSession): Promise<void> {
    if (this.#missing !== undefined) {
      await this.#writeLines(session, MISSING_FILE, [...this.#missing.values()]);
    }
    await this.#writeLines(session, CORRUPT_FILE, this.#corrupt);
  }

  async #writeLines(
    session: CaptureSession,
    path: string,
    lines: readonly MissingAtSource[],
  ): Promise<void> {
    const sorted = lines.toSorted((a, b) => (a.sha1 < b.sha1 ? -1 : 1));
    const bytes = encodeLines(sorted);
    const text = bytes.toString("utf8");
    if ((this.#texts.get(path) ?? "") === text) return;
    if (lines.length === 0) session.side.drop(path);
    else await session.writeSide(path, bytes);
    this.#texts.set(path, text);
  }

  /** When it was found first, as far as anybody knows. */
  #since(sha1: string, found?: number): string {
    let since = this.#known.get(sha1);
    if (since === undefined) {
      since = new Date(found ?? this.#options.clock.now()).toISOString();
      this.#known.set(sha1, since);
    }
    return since;
  }
}
