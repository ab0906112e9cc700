// A drill: a real recovery into a scratch place, checked, measured, reported and removed. It is made to be able to fail: where a
// live server can be asked it recovers a marker that was written after it began, and without one it never says that it passed.
// What could not be looked at is "not checked", with the reason. Nothing of it touches the instance but the marker.

import { join } from "node:path";
import { formatLsn } from "../barman/lsn.ts";
import { describeTarget, type RecoveryTarget } from "../barman/recovery-target.ts";
import { millisecondsOf } from "../barman/zoned-time.ts";
import { HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";
import { Progress } from "../base/progress.ts";
import { checkIndexes, checkTables } from "./drill/database-checks.ts";
import { checkFiles, type FileCheckOptions } from "./drill/file-checks.ts";
import { waitForArchive, waitForCapture, writeMarker, type DrillMarker } from "./drill/marker.ts";
import type { DrillOptions } from "./drill/options.ts";
import { runOwnCommand } from "./drill/own-command.ts";
import { checkPages } from "./drill/page-check.ts";
import {
  REPORT_FORMAT,
  verdictOf,
  type DrillCheck,
  type DrillFiles,
  type DrillReport,
} from "./drill/report.ts";
import { readReferences } from "./read-references.ts";
import type { RecoveredDatabase } from "./recover-database.ts";
import type { References } from "./references.ts";
import { chooseDatabase, recoverScratch } from "./scratch-database.ts";
import { sourceProblems } from "./lost-at-source.ts";
import { makeScratchPlace, removeLeftPlaces, type ScratchPlace } from "./scratch-place.ts";

export type { DrillOptions } from "./drill/options.ts";
export type { DrillCheck, DrillFiles, DrillReport, DrillVerdict } from "./drill/report.ts";

/** Throws DRILL_FAILED, with every check that failed, for a report that says so. */
export function refuseFailed({ verdict, checks }: DrillReport): void {
  if (verdict !== "failed") return;
  const failed = checks.filter(({ result }) => result === "failed");
  throw new HoldfastError(
    "DRILL_FAILED",
    `the drill failed: ${failed.map(({ name, detail }) => `${name} (${detail})`).join("; ")}`,
    { hint: "Mend what failed and drill again: a recovery would fail there, too." },
  );
}

/**
 * Runs a drill to its end. What it finds, also that nothing can be recovered, is in the report; thrown is only what keeps it
 * from being carried out: TARGET_UNWRITABLE, POSTGRES_NOT_FOUND, USAGE, CANCELLED. The scratch place is gone in any case.
 */
export async function runDrill(options: DrillOptions): Promise<DrillReport> {
  return await new Drill(options).run();
}

class Drill {
  readonly #options: DrillOptions;
  readonly #checks: DrillCheck[] = [];
  readonly #steps: { name: string; ms: number }[] = [];
  readonly #id: string;
  readonly #started: number;
  #database: string | undefined;
  #reached: DrillReport["reached"] = null;
  #systemId: string | null = null;
  #major: number | null = null;
  #files: DrillFiles | null = null;
  #target: RecoveryTarget;

  constructor(options: DrillOptions) {
    this.#options = options;
    this.#id = Buffer.from(options.random(4)).toString("hex");
    this.#started = options.clock.now();
    this.#database = options.database;
    this.#target = options.target;
  }

  async run(): Promise<DrillReport> {
    const { scratch: parent, machine, account, onNotice } = this.#options;
    for (const path of await removeLeftPlaces({ parent, machine, account }))
      onNotice?.(`removed ${path}, which a drill that was cut off had left`);
    const marker = await this.#step("marker", "writing a marker", () => this.#markOrTell());
    const place = await makeScratchPlace({ parent, machine, account });
    try {
      await this.#recoverAndCheck(place, marker);
    } catch (error) {
      if (isNoFinding(error)) throw error;
      const hint = isHoldfastError(error) && error.hint ? ` ${error.hint}` : "";
      this.#fail(this.#reached === null ? "recovery" : "checks", `${messageOf(error)}.${hint}`);
    } finally {
      await place.remove();
    }
    return this.#report();
  }

  /** What goes wrong with the archive meanwhile is a finding, and the drill goes on without a marker. */
  async #markOrTell(): Promise<DrillMarker | undefined> {
    try {
      return await this.#mark();
    } catch (error) {
      if (isNoFinding(error)) throw error;
      this.#fail("marker", messageOf(error));
      return undefined;
    }
  }

  /** Writes the marker and waits for it; undefined where there is none that the archive has. */
  async #mark(): Promise<DrillMarker | undefined> {
    const { connectLive, target, archive, clock, random, patience, files } = this.#options;
    const { signal, onStep } = this.#options;
    if (target.kind !== "latest") {
      this.#leave("marker", "this was a drill of an earlier moment");
      return undefined;
    }
    if (connectLive === undefined) {
      this.#leave("marker", "no live server was named that could have written one");
      return undefined;
    }
    let marker: DrillMarker;
    try {
      const connection = await connectLive();
      try {
        marker = await writeMarker(connection, { random, signal });
      } finally {
        await connection.close();
      }
    } catch (error) {
      if (isNoFinding(error)) throw error;
      const hint = isHoldfastError(error, "POSTGRES_DENIED")
        ? ". GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO the role"
        : "";
      this.#leave("marker", `none could be written: ${messageOf(error)}${hint}`);
      return undefined;
    }
    const waiting = { clock, signal };
    onStep?.("waiting until the archive has it");
    const late = await waitForArchive(archive, marker.position, {
      ...waiting,
      patience: patience.archive,
    });
    if (late !== undefined) {
      this.#fail("marker", late);
      return undefined;
    }
    if (files?.captures !== undefined) {
      onStep?.("waiting for a capture after it");
      const missing = await waitForCapture(files.captures, marker.position, {
        ...waiting,
        patience: patience.capture,
      });
      if (missing !== undefined) this.#fail("captures", missing);
      else this.#pass("captures", `one came after ${formatLsn(marker.position.lsn)}`);
    }
    return marker;
  }

  async #recoverAndCheck(place: ScratchPlace, marker: DrillMarker | undefined): Promise<void> {
    const { onLine, onStep } = this.#options;
    if (marker !== undefined) this.#target = { kind: "name", name: marker.name };
    const progress = new Progress();
    onStep?.("restoring the base backup", progress);
    const recovered = await recoverScratch({
      ...this.#options,
      place,
      target: this.#target,
      progress,
      onRestored: () => onStep?.("replaying the log"),
      ...(onLine && { onLine }),
      onPlan: (plan) => {
        this.#major = plan.major;
        this.#systemId = plan.choice.backup.info!.systemId;
      },
    });
    try {
      await this.#lookAt(recovered, place, marker);
      onStep?.("stopping the server");
      await recovered.stop();
      if (this.#options.quick === true) this.#checks.push(skipped("pages"));
      else await this.#checkPages(recovered);
    } finally {
      await recovered.stop();
    }
  }

  async #checkPages({ plan, restored }: RecoveredDatabase): Promise<void> {
    const { findPrograms, account, signal } = this.#options;
    await this.#step("pages", "checking the pages of the database", async () => {
      const check = await checkPages({
        programs: (await findPrograms(plan.major)).folder,
        dataDirectory: plan.folder.path,
        hasChecksums: restored.control.hasChecksums,
        account,
        signal,
      });
      this.#checks.push(check);
    });
  }

  async #lookAt(
    recovered: RecoveredDatabase,
    place: ScratchPlace,
    marker: DrillMarker | undefined,
  ): Promise<void> {
    const { signal, quick = false } = this.#options;
    const { choice } = recovered.plan;
    const { state, seconds } = recovered;
    this.#steps.push({ name: "restore", ms: Math.round(seconds.restore * 1000) });
    this.#steps.push({ name: "replay", ms: Math.round(seconds.replay * 1000) });
    this.#reached = {
      lsn: formatLsn(recovered.lsn),
      timeline: state.timeline,
      last_commit: state.time ?? null,
      backup: choice.backup.id,
      backup_ended: new Date(millisecondsOf(choice.backup.info!.endTime!)).toISOString(),
    };
    const verified = recovered.restored.isVerified ? "each as its manifest says" : "unverified";
    this.#pass(
      "recovery",
      `backup ${choice.backup.id} (${recovered.restored.files} files, ${verified}) replayed to ${formatLsn(recovered.lsn)}`,
    );
    if (marker !== undefined) {
      // The server stops at that name, or refuses to open; this is the second look.
      if (recovered.lsn >= marker.position.lsn && state.state === "paused")
        this.#pass("marker", `${marker.name}, written when the drill began, came back`);
      else this.#fail("marker", `${marker.name} did not come back`);
    }
    const database = await chooseDatabase(recovered, { named: this.#database, signal });
    this.#database = database;
    const connection = await recovered.connect(database);
    try {
      const references = await this.#step("references", "reading the references", () =>
        readReferences(connection, { signal }),
      );
      await this.#checkFiles(references, place);
      await this.#step("tables", "reading every table", async () => {
        this.#checks.push((await checkTables(connection, { signal })).check);
      });
    } finally {
      await connection.close();
    }
    if (quick) this.#checks.push(skipped("indexes"));
    else await this.#checkIndexes(recovered, database);
    await this.#runCommand(recovered, { database, place });
  }

  async #checkFiles(references: References, place: ScratchPlace): Promise<void> {
    const { files } = this.#options;
    if (files === undefined) {
      this.#leave("references", "no repository was named");
      this.#leave("content", "no repository was named");
      return;
    }
    const progress = new Progress();
    const options: FileCheckOptions = {
      ...this.#options,
      ...files,
      references,
      lost: await sourceProblems(files.captures, {
        database: references.database,
        onDamage: (what, error) => this.#options.onNotice?.(`${what}: ${error.message}`),
        signal: this.#options.signal,
      }),
      folder: this.#filestore(place, references.database),
      progress,
    };
    const found = await this.#step(
      "files",
      "recovering the files",
      () => checkFiles(options),
      progress,
    );
    this.#files = found.files;
    this.#checks.push(...found.checks);
  }

  /** As Odoo's data directory has it. */
  #filestore(place: ScratchPlace, database: string): string {
    // The name of a database may be anything; that of a folder may not.
    const name = /^[\w.-]+$/.test(database) && !/^\.+$/.test(database) ? database : "database";
    return join(place.path, "data", "filestore", name);
  }

  async #checkIndexes(recovered: RecoveredDatabase, database: string): Promise<void> {
    const { signal } = this.#options;
    await this.#step("indexes", "checking the indexes", async () => {
      await recovered.promote();
      const connection = await recovered.connect(database);
      try {
        this.#checks.push(await checkIndexes(connection, { signal }));
      } finally {
        await connection.close();
      }
    });
  }

  async #runCommand(
    recovered: RecoveredDatabase,
    { database, place }: { readonly database: string; readonly place: ScratchPlace },
  ): Promise<void> {
    const { command, signal } = this.#options;
    if (command === undefined) return;
    await this.#step("command", "running the command", async () => {
      await recovered.promote();
      const { hosts, user } = recovered.server.connection;
      const check = await runOwnCommand({
        command: command.text,
        limit: command.limit,
        folder: place.path,
        environment: {
          ...command.environment,
          PGHOST: hosts[0]!.host,
          PGPORT: `${hosts[0]!.port}`,
          PGUSER: user,
          PGDATABASE: database,
          HOLDFAST_DRILL_DATA_DIR: join(place.path, "data"),
          HOLDFAST_DRILL_FILESTORE: this.#filestore(place, database),
        },
        signal,
      });
      this.#checks.push(check);
    });
  }

  async #step<T>(
    name: string,
    words: string,
    work: () => Promise<T>,
    progress?: Progress,
  ): Promise<T> {
    const { clock, onStep } = this.#options;
    onStep?.(words, progress);
    const begun = clock.monotonic();
    try {
      return await work();
    } finally {
      this.#steps.push({ name, ms: Math.round(clock.monotonic() - begun) });
    }
  }

  #pass(name: string, detail: string): void {
    this.#checks.push({ name, result: "ok", detail });
  }

  #fail(name: string, detail: string): void {
    this.#checks.push({ name, result: "failed", detail });
  }

  #leave(name: string, detail: string): void {
    this.#checks.push({ name, result: "not checked", detail });
  }

  #report(): DrillReport {
    const { archive, files, machine, program, clock, sample } = this.#options;
    const took = (name: string): number => this.#steps.find((step) => step.name === name)?.ms ?? 0;
    const isWhole = this.#reached !== null && this.#files !== null && sample === undefined;
    return {
      format: REPORT_FORMAT,
      id: this.#id,
      verdict: verdictOf(this.#checks),
      started: new Date(this.#started).toISOString(),
      ended: new Date(clock.now()).toISOString(),
      host: machine.hostname,
      program,
      instance: {
        archive: archive.location,
        server: archive.server,
        repository: files?.repository.storage.location ?? null,
        captures: files?.captures?.storage.location ?? null,
        database: this.#database ?? null,
        system_id: this.#systemId,
        postgres: this.#major,
      },
      target: describeTarget(this.#target),
      reached: this.#reached,
      recovery_ms: isWhole
        ? took("restore") + took("replay") + took("references") + took("files")
        : null,
      steps: this.#steps,
      checks: this.#checks,
      files: this.#files,
    };
  }
}

function skipped(name: string): DrillCheck {
  return { name, result: "not checked", detail: "left out with --quick" };
}

/** True for what is wrong with the machine or the wish, and not with the backups. */
function isNoFinding(error: unknown): boolean {
  return (
    !isHoldfastError(error) ||
    isHoldfastError(error, "BUG", "CANCELLED", "USAGE", "TARGET_UNWRITABLE", "POSTGRES_NOT_FOUND")
  );
}
