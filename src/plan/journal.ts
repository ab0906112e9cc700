// The journal of runs: what ran, when, and how it ended, a JSON object on each line of one file. It is for people, and tells
// after a restart what is due; it can be lost: what really was made, the repository and the archive tell. A line that was cut
// off by a crash, or that somebody broke, is left out.

import { mkdir, open, readFile, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { ErrorCode } from "../base/errors.ts";
import { errnoOf, HoldfastError, messageOf } from "../base/errors.ts";
import type { TaskName } from "./plan.ts";

export type Outcome =
  | "done"
  | "failed"
  /** Told to stop before its end. */
  | "stopped"
  /** A service that had failed works again. */
  | "recovered";

export interface JournalEntry {
  readonly instance: string;
  readonly task: TaskName;
  readonly outcome: Outcome;
  /** Milliseconds since 1970. */
  readonly started: number;
  readonly ended: number;
  readonly code?: ErrorCode | undefined;
  readonly message?: string | undefined;
  /** What it did, in numbers and words that depend on the task. */
  readonly detail?: Readonly<Record<string, unknown>> | undefined;
}

export const JOURNAL_FILE = "runs.jsonl";
/** Lines from which on the file is made shorter, and how many stay. */
const LINES_MAX = 6000;
const LINES_KEPT = 3000;
/** A message is for a line. */
const MESSAGE_MAX = 500;

export class Journal {
  readonly #path: string;
  #entries: JournalEntry[];
  /** Lines of the file, whatever is in them. */
  #lines: number;
  /** The file ends in a line that a crash cut off. */
  #isTorn: boolean;
  #last: Promise<void> = Promise.resolve();

  constructor(path: string, content: string) {
    this.#path = path;
    this.#entries = parseJournal(content);
    this.#lines = content.split("\n").length;
    this.#isTorn = content !== "" && !content.endsWith("\n");
  }

  /** Oldest first. */
  get entries(): readonly JournalEntry[] {
    return this.#entries;
  }

  /** The newest entry of a task with one of these outcomes. */
  last(instance: string, task: TaskName, outcomes: readonly Outcome[]): JournalEntry | undefined {
    return this.#entries.findLast(
      (entry) =>
        entry.instance === instance && entry.task === task && outcomes.includes(entry.outcome),
    );
  }

  /** Adds an entry; resolves when it is durable. Throws TARGET_UNWRITABLE. */
  async add(entry: JournalEntry): Promise<void> {
    this.#entries.push(entry);
    // One after the other, so that lines do not get mixed.
    const write = this.#last.then(() => this.#write(entry));
    this.#last = write.catch(() => undefined);
    try {
      await write;
    } catch (error) {
      throw unwritable(this.#path, error);
    }
  }

  /** Resolves when nothing is being written any more. */
  async settled(): Promise<void> {
    await this.#last;
  }

  async #write(entry: JournalEntry): Promise<void> {
    if (this.#lines >= LINES_MAX) {
      this.#entries = this.#entries.slice(-LINES_KEPT);
      await this.#replace();
      return;
    }
    const file = await open(this.#path, "a", 0o600);
    try {
      await file.appendFile(`${this.#isTorn ? "\n" : ""}${formatEntry(entry)}\n`);
      await file.datasync();
    } finally {
      await file.close();
    }
    this.#isTorn = false;
    this.#lines += 1;
  }

  async #replace(): Promise<void> {
    const temporary = `${this.#path}.new`;
    const file = await open(temporary, "w", 0o600);
    try {
      await file.writeFile(this.#entries.map((one) => `${formatEntry(one)}\n`).join(""));
      await file.sync();
    } finally {
      await file.close();
    }
    try {
      await rename(temporary, this.#path);
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      throw error;
    }
    this.#lines = this.#entries.length;
  }
}

/** Opens the journal of a state folder, which is made where it is missing. Throws TARGET_UNWRITABLE. */
export async function openJournal(folder: string): Promise<Journal> {
  const path = join(folder, JOURNAL_FILE);
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const content = await readFile(path, "utf8").catch((error: unknown) => {
      if (errnoOf(error) === "ENOENT") return "";
      throw error;
    });
    return new Journal(path, content);
  } catch (error) {
    throw unwritable(folder, error);
  }
}

/** Reads the journal in a state folder, without opening it to write; undefined where there is none. Throws what reading throws. */
export async function readJournal(folder: string): Promise<readonly JournalEntry[] | undefined> {
  try {
    return parseJournal(await readFile(join(folder, JOURNAL_FILE), "utf8"));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** The newest entry of every task, in the order in which tasks first ran. */
export function latestRuns(entries: readonly JournalEntry[]): JournalEntry[] {
  const latest = new Map<string, JournalEntry>();
  for (const entry of entries) latest.set(`${entry.instance} ${entry.task}`, entry);
  return [...latest.values()];
}

/** The entries of a journal's text; whatever is none is left out. */
export function parseJournal(text: string): JournalEntry[] {
  return text.split("\n").flatMap((line) => {
    if (line.trim() === "") return [];
    try {
      const entry = readEntry(JSON.parse(line));
      return entry === undefined ? [] : [entry];
    } catch (error) {
      if (error instanceof SyntaxError) return [];
      throw error;
    }
  });
}

function readEntry(value: unknown): JournalEntry | undefined {
  const fields = value as Record<string, unknown> | null;
  if (typeof fields !== "object" || fields === null) return undefined;
  const { instance, task, outcome, started, ended } = fields;
  const [from, to] = [started, ended].map((time) =>
    typeof time === "string" ? Date.parse(time) : NaN,
  ) as [number, number];
  const isWhole =
    typeof instance === "string" &&
    typeof task === "string" &&
    typeof outcome === "string" &&
    Number.isFinite(from) &&
    Number.isFinite(to);
  if (!isWhole) return undefined;
  return { ...(fields as unknown as JournalEntry), started: from, ended: to };
}

function formatEntry({ started, ended, message, ...rest }: JournalEntry): string {
  const time = (milliseconds: number): string => new Date(milliseconds).toISOString();
  return JSON.stringify({
    ...rest,
    started: time(started),
    ended: time(ended),
    message: message?.slice(0, MESSAGE_MAX),
  });
}

function unwritable(path: string, error: unknown): HoldfastError {
  const message = `the journal cannot be kept: ${path}: ${messageOf(error)}`;
  return new HoldfastError("TARGET_UNWRITABLE", message, {
    hint: "Give --state, or `state` of the plan, a folder that may be written.",
    cause: error,
  });
}
