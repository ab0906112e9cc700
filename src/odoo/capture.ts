// Continuous capture (docs/decisions/capture.md): every file that appears in a filestore is in the capture repository within
// seconds, also when it is deleted soon after, and each capture says up to which position of the database that is complete.
//
// A tick asks the database where it stands and what it refers to, then looks for new files, stores those whose content is that
// of their name, and commits a capture. Files are written before their row is committed, so whatever rows of that position refer to
// is there to be seen. Nothing is skipped by a failure: the next tick that succeeds covers everything since.

import type { Id } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import type { Clock } from "../base/clock.ts";
import { isHoldfastError, messageOf } from "../base/errors.ts";
import { Backoff } from "../base/retry.ts";
import type { PruneResult } from "../repository/prune.ts";
import { WriterMemory } from "./capture/capture-writer.ts";
import { DatabaseSide } from "./capture/database-side.ts";
import type { AskedNames } from "./capture/comparison.ts";
import { Elsewhere } from "./capture/elsewhere.ts";
import { FilestoreSource } from "./capture/filestore-source.ts";
import type { Candidate } from "./capture/filestore-source.ts";
import { Findings } from "./capture/findings.ts";
import { Intake } from "./capture/intake.ts";
import type { TakenFile } from "./capture/intake.ts";
import { MainWatch } from "./capture/main-watch.ts";
import { mergeCapturePacks } from "./capture/merge-packs.ts";
import { Scrub } from "./capture/scrub.ts";
import { CaptureSession } from "./capture/session.ts";
import { ToldOnce } from "./capture/told-once.ts";
import type { CaptureOptions, CaptureSummary, TickReport } from "./capture-events.ts";
import type { JointPosition } from "./capture-mark.ts";

/** A long tick commits what it has by then, so that little is lost when it does not end. */
const COMMIT_MS = 60_000;
/** How long a stop may take: the commit under way is finished. */
const GRACE_MS = 20_000;

/** Captures once, and closes everything. Throws what kept it from it. */
export async function captureOnce(
  options: CaptureOptions,
  signal?: AbortSignal,
): Promise<TickReport> {
  const capture = new Capture(options);
  try {
    return await capture.tick(signal);
  } finally {
    await capture.close();
  }
}

/** Captures until `signal` aborts. Failures are events; it ends by the signal alone. */
export async function runCapture(
  options: CaptureOptions & { readonly every: number; readonly signal: AbortSignal },
): Promise<CaptureSummary> {
  const capture = new Capture(options);
  return await capture.run(options);
}

/** A capture that goes on: `run` it, and tell it what happens beside it. */
export class Capture {
  readonly #options: CaptureOptions;
  readonly #clock: Clock;
  readonly #source: FilestoreSource;
  readonly #intake: Intake;
  readonly #database: DatabaseSide | undefined;
  readonly #findings: Findings;
  readonly #scrub: Scrub;
  readonly #elsewhere: Elsewhere;
  readonly #memory = new WriterMemory();
  readonly #mainWatch: MainWatch;
  readonly #told = new ToldOnce();
  #session: CaptureSession | undefined;
  #committedAt = 0;
  #counts = { newFiles: 0, newBytes: 0 };
  /** One thing at a time. */
  #busy: Promise<unknown> = Promise.resolve();
  /** Aborts what is under way when a stop has been waited for long enough. */
  readonly #hard = new AbortController();

  constructor(options: CaptureOptions) {
    this.#options = options;
    const { folder, connect, captures, onEvent } = options;
    const { clock, random } = captures.machine;
    this.#clock = clock;
    const tellCorrupt = (path: string, stored: boolean): void =>
      onEvent({ kind: "corrupt", path, stored });
    this.#source = new FilestoreSource(folder, clock);
    this.#findings = new Findings({
      clock,
      onMissing: (path, stored) => onEvent({ kind: "missing", path, stored }),
    });
    this.#database =
      connect &&
      new DatabaseSide({
        connect,
        clock,
        repositories: [options.main, captures],
        onFailure: (error) => onEvent({ kind: "database", error }),
        onNotice: (text) => onEvent({ kind: "notice", text }),
      });
    this.#intake = new Intake({
      folder,
      clock,
      store: (file) => this.#session!.store(file),
      onTaken: (file) => this.#take(file),
      isKnown: (sha1) => this.#session!.has(sha1),
      onStranger: (path) => this.#tellStranger(path),
      onCorrupt: (file) => tellCorrupt(`${file.folder}/${file.sha1}`, false),
    });
    this.#mainWatch = new MainWatch(options.main, clock);
    this.#elsewhere = new Elsewhere({
      main: options.main,
      captures,
      clock,
      onNotice: (text) => onEvent({ kind: "notice", text }),
    });
    this.#scrub = new Scrub({
      folder,
      clock,
      from: clock.now(),
      start: random(1)[0]!,
      onSpoiled: (path) => tellCorrupt(path, true),
    });
  }

  /** A full snapshot was made in the main repository: the next tick looks for it. */
  fullSnapshotMade(): void {
    this.#mainWatch.hurry();
  }

  /** Captures what is new. Throws what kept it from it; nothing is lost by that. */
  tick(signal: AbortSignal = this.#hard.signal): Promise<TickReport> {
    return this.#alone(async () => {
      const over = new AbortController();
      const onStop = (): void => void this.#giveUpLater(over.signal);
      signal.addEventListener("abort", onStop, { once: true });
      try {
        return await this.#tick(signal);
      } catch (error) {
        await this.#fail(error);
        throw error;
      } finally {
        signal.removeEventListener("abort", onStop);
        over.abort();
      }
    });
  }

  /** Ticks every so many milliseconds until `signal` aborts; the commit that is under way then is finished. */
  async run({ every, signal }: { every: number; signal: AbortSignal }): Promise<CaptureSummary> {
    const { onEvent, captures } = this.#options;
    const clock = this.#clock;
    const summary = { ticks: 0, failures: 0, newFiles: 0, newBytes: 0 };
    let last: TickReport | undefined;
    const backoff = new Backoff({
      clock,
      random: captures.machine.random,
      elapsedMax: Infinity,
      delayMax: every,
      isRetryable: () => true,
      onRetry: ({ error, delay }) => onEvent({ kind: "failed", error, delay }),
      signal,
    });
    while (!signal.aborted) {
      const begun = clock.monotonic();
      try {
        last = await this.tick(signal);
        summary.ticks++;
        summary.newFiles += last.newFiles;
        summary.newBytes += last.newBytes;
        onEvent({ kind: "tick", report: last });
        backoff.reset();
        await clock.sleep(Math.max(0, begun + every - clock.monotonic()), signal);
      } catch (error) {
        if (signal.aborted) break;
        summary.failures++;
        // Throws by the signal alone.
        await backoff.pause(error).catch(() => {});
      }
    }
    await this.close();
    return { ...summary, last };
  }

  /**
   * Puts small packs and index files together, and removes what no capture needs. Needs the repository for itself for a
   * moment: REPO_LOCKED when others are reading it. Ticks wait meanwhile.
   */
  mergePacks(signal?: AbortSignal): Promise<PruneResult> {
    return this.#alone(async () => {
      await this.#closeSession();
      const { captures, onEvent, retryLock = 0 } = this.#options;
      const notice = (text: string): void => onEvent({ kind: "notice", text });
      const result = await mergeCapturePacks({ captures, retryLock, notice, signal });
      onEvent({ kind: "merged", result });
      return result;
    });
  }

  /** Releases the lock, the connection and all files. Never fails. */
  close(): Promise<void> {
    return this.#alone(async () => {
      await this.#closeSession();
      this.#intake.close();
      await this.#database?.close();
    });
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#busy.then(work);
    this.#busy = result.catch(() => {});
    return result;
  }

  /** The commit that is under way when somebody says stop has so long to end. */
  async #giveUpLater(over: AbortSignal): Promise<void> {
    await this.#clock.sleep(GRACE_MS, over).then(
      () => this.#hard.abort(),
      () => {},
    );
  }

  async #tick(signal: AbortSignal): Promise<TickReport> {
    throwIfCancelled(signal);
    const [time, began] = [this.#clock.now(), this.#clock.monotonic()];
    const session = await this.#openSession(signal);
    this.#committedAt = began;
    this.#counts = { newFiles: 0, newBytes: 0 };
    const stored = session.stored;
    // The position first: everything that rows refer to there is in the filestore by now, or never will be.
    const asked = await this.#database?.ask(signal);
    let isListed = false;
    try {
      isListed = this.#look(session);
      await this.#intake.run(signal);
    } catch (error) {
      // What was taken until somebody said stop is kept.
      if (isHoldfastError(error, "CANCELLED") && session.taken.files > 0) {
        await this.#commit(session, undefined);
      }
      throw error;
    }
    // What is in a folder that was not listed is seen only when all names are compared.
    const isProof = asked !== undefined && (isListed || asked.isFull);
    const isJoint = isProof && (await this.#compare(session, asked, signal));
    await this.#scrub.step(this.#source.folders, (sha1) => session.has(sha1), signal);
    this.#findings.update(this.#intake, this.#scrub.spoiled, (sha1) => session.has(sha1));
    if (isJoint) await this.#database!.observe(session, asked.isFull, signal);
    await this.#findings.write(session);
    const isDue =
      isJoint ||
      session.taken.files > 0 ||
      session.isUntidy ||
      this.#findings.isChanged(session.mark);
    const capture = isDue
      ? await this.#commit(session, isJoint ? asked.position : undefined)
      : undefined;
    if (isJoint) this.#database!.done(asked);
    if (!isListed) this.#database?.reset();
    return {
      capture,
      since: session.since,
      time,
      duration: this.#clock.monotonic() - began,
      position: session.mark?.position,
      isJoint,
      ...this.#counts,
      storedBytes: session.stored - stored,
      files: session.files,
      known: session.known,
      torn: this.#intake.torn,
      corrupt: this.#findings.corrupt,
      missing: this.#findings.missing,
      unreadable: this.#intake.unreadable.size,
      compared: isJoint ? (asked.isFull ? "all" : "new") : "nothing",
    };
  }

  async #openSession(signal: AbortSignal): Promise<CaptureSession> {
    if (await this.#isMainChanged(signal)) await this.#closeSession();
    if (this.#session !== undefined) return this.#session;
    const { onEvent, retryLock = 0 } = this.#options;
    const session = await CaptureSession.open({
      ...this.#options,
      retryLock,
      memory: this.#memory,
      onNotice: (text) => onEvent({ kind: "notice", text }),
      signal: this.#hard.signal,
    });
    this.#session = session;
    this.#source.reset();
    this.#database?.reset();
    this.#elsewhere.reset();
    await this.#findings.open(session, signal);
    onEvent({ kind: "opened", since: session.since, known: session.known });
    return session;
  }

  async #isMainChanged(signal: AbortSignal): Promise<boolean> {
    try {
      return await this.#mainWatch.isChanged(signal);
    } catch (error) {
      throwIfCancelled(signal);
      // Captures are safe without it; a session that begins needs it, and tells.
      if (this.#session === undefined) throw error;
      this.#options.onEvent({ kind: "notice", text: messageOf(error) });
      return false;
    }
  }

  /** False when a folder could not be listed. */
  #look(session: CaptureSession): boolean {
    let isWhole = true;
    this.#source.look(
      {
        isKnown: (sha1) => session.has(sha1) || this.#intake.has(sha1),
        onFolder: (name, stat) => session.setFolder(name, stat),
        onCandidate: (candidate) => this.#intake.offer(candidate),
        onStranger: (path) => this.#tellStranger(path),
        onUnreadable: (path, error) => {
          isWhole = false;
          this.#tellOnce(`the folder ${path} cannot be read: ${messageOf(error)}`);
        },
      },
      session.known === 0,
    );
    return isWhole;
  }

  async #take(file: TakenFile): Promise<void> {
    const session = this.#session!;
    session.take(file);
    this.#counts.newFiles++;
    this.#counts.newBytes += file.size;
    if (this.#clock.monotonic() - this.#committedAt >= COMMIT_MS) {
      await this.#commit(session, undefined);
    }
  }

  /** Compares what rows refer to with what is known; false when the database went away meanwhile. */
  async #compare(
    session: CaptureSession,
    asked: AskedNames,
    signal: AbortSignal,
  ): Promise<boolean> {
    const unknown: Candidate[] = [...this.#findings.missed];
    await asked.unknown(
      (sha1, size) => (size === undefined ? session.has(sha1) : session.hasSize(sha1, size)),
      (candidate) => unknown.push(candidate),
    );
    // Listings may lag behind on network file systems: each is looked for by its path.
    const absent = unknown.filter(
      (candidate) => !session.has(candidate.sha1) && !this.#intake.offerUnseen(candidate),
    );
    await this.#intake.takeWaiting(signal);
    const left = [...this.#intake.corrupt.values(), ...this.#intake.unsettled];
    const referred = asked.isFull
      ? new Set(left.map(({ sha1 }) => sha1).filter((sha1) => asked.refers(sha1)))
      : await this.#database!.referred(left, signal);
    if (referred === undefined) return false;
    const { isFull } = asked;
    const gone = isFull ? absent.filter(({ sha1 }) => asked.refers(sha1)) : absent;
    await this.#elsewhere.look([...gone.map(({ sha1 }) => sha1), ...referred], signal);
    const isStored = (sha1: string): boolean => this.#elsewhere.has(sha1);
    this.#findings.compared({ absent: gone, isFull, referred, isStored });
    return true;
  }

  /** Without a new position that of the period is kept: what was complete still is. An earlier one is its own capture's. */
  async #commit(session: CaptureSession, position: JointPosition | undefined): Promise<Id> {
    const { missing, corrupt } = this.#findings;
    const { mark, since } = session;
    const kept = position ?? (mark?.since === since ? mark?.position : undefined);
    const id = await session.commit({ position: kept, missing, corrupt });
    this.#committedAt = this.#clock.monotonic();
    this.#intake.committed();
    if (position !== undefined) this.#database?.committed();
    return id;
  }

  async #fail(error: unknown): Promise<void> {
    this.#source.reset();
    // The source alone is to blame: what is known still holds.
    if (isHoldfastError(error, "SOURCE_MISSING", "SOURCE_EMPTY", "SOURCE_UNREADABLE")) return;
    await this.#closeSession();
    this.#intake.failed();
  }

  async #closeSession(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.close();
  }

  #tellStranger(path: string): void {
    if (this.#told.isNews(path)) this.#options.onEvent({ kind: "stranger", path });
  }

  #tellOnce(text: string): void {
    if (this.#told.isNews(text)) this.#options.onEvent({ kind: "notice", text });
  }
}
