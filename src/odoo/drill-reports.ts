// Where reports of drills are kept: as files of a folder, and as a snapshot of three small files in the capture repository, tagged
// so that a listing of snapshots alone tells when the last drill was and what it said. Real restic shows and restores them
// (docs/operations/drill.md#where-reports-are-kept).

import type { KeyObject } from "node:crypto";
import { mkdir, open, readdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import type { Id } from "../base/bytes.ts";
import { errnoOf, HoldfastError, messageOf } from "../base/errors.ts";
import { objectIn } from "../base/json-object.ts";
import { loadIndex } from "../repository/index-loader.ts";
import { acquireLock } from "../repository/locks.ts";
import type { Repository } from "../repository/repository.ts";
import { listSnapshots, type FoundSnapshot } from "../repository/snapshots.ts";
import { parseTime, secondOf } from "../restic/go-time.ts";
import { encodeSnapshot } from "../restic/snapshot.ts";
import { createNode } from "../restic/tree-node.ts";
import { tagValues } from "./capture-mark.ts";
import { CaptureWriter, WriterMemory } from "./capture/capture-writer.ts";
import { PathTree } from "./capture/path-tree.ts";
import {
  canonicalJson,
  reportName,
  REPORT_FORMAT,
  type DrillReport,
  type DrillVerdict,
} from "./drill/report.ts";
import { reportText } from "./drill/report-text.ts";
import { fingerprint, isSignedBy, readPublicKey, signReport } from "./drill/signature.ts";

export { makeSigningKey, readPublicKey, readSigningKey } from "./drill/signature.ts";
export { duration, recoveryText, reportText, VERDICTS } from "./drill/report-text.ts";

/** The tag that all stored reports have. */
export const DRILL_TAG = "holdfast-drill";
/** The folder that they lie in, in their snapshots. */
const FOLDER = "/holdfast/drills";
/** -rw-r--r-- */
const MODE = 0o644;

/** A report as the files that are kept of it. */
export interface PackedReport {
  readonly report: DrillReport;
  /** By their names: NAME.json, NAME.md and, with a key, NAME.json.sig. */
  readonly files: ReadonlyMap<string, Buffer>;
}

/** The files of a report, signed when there is a key. */
export function packReport(report: DrillReport, key: KeyObject | undefined): PackedReport {
  const name = reportName(report);
  const json = Buffer.from(canonicalJson(report), "utf8");
  const files = new Map<string, Buffer>([[`${name}.json`, json]]);
  if (key !== undefined) files.set(`${name}.json.sig`, signReport(json, key));
  files.set(`${name}.md`, Buffer.from(reportText(report), "utf8"));
  return { report, files };
}

/** Writes the files into a folder, which is made when it is not there; the path of the JSON. Throws TARGET_UNWRITABLE. */
export async function writeReport(folder: string, { files }: PackedReport): Promise<string> {
  let path = "";
  try {
    await mkdir(folder, { recursive: true });
    for (const [name, content] of files) {
      const temporary = join(folder, `.${name}.part`);
      const file = await open(temporary, "w", 0o644);
      try {
        await file.writeFile(content);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, join(folder, name));
      if (name.endsWith(".json")) path = join(folder, name);
    }
    return path;
  } catch (error) {
    throw new HoldfastError(
      "TARGET_UNWRITABLE",
      `the report cannot be written into ${folder}: ${messageOf(error)}`,
      { hint: "Name a folder that this user may write with --report.", cause: error },
    );
  }
}

/** Stores the files as a snapshot; its id. Takes the lock that every writer takes. Throws what the storage does, REPO_LOCKED. */
export async function storeReport(
  captures: Repository,
  { report, files }: PackedReport,
  options: {
    readonly program: string;
    /** Milliseconds to wait for a lock that is in the way. */
    readonly retryFor?: number;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<Id> {
  const { program, retryFor = 0, signal } = options;
  const held = await acquireLock(captures, { exclusive: false, retryFor, signal });
  try {
    const { index } = await loadIndex(captures, { onDamage: () => {}, signal: held.signal });
    const writer = new CaptureWriter({
      repository: captures,
      memory: new WriterMemory(),
      index,
      signal: held.signal,
    });
    const tree = new PathTree();
    const { hostname, username, uid, gid } = captures.machine;
    for (const [name, bytes] of files) {
      const { content, size } = await writer.addContent([bytes]);
      const time = report.ended;
      const node = { name, type: "file" as const, mode: MODE, mtime: time, atime: time };
      const owner = { uid, gid, user: username };
      tree.put(FOLDER, createNode({ ...node, ctime: time, ...owner, size, content: [...content] }));
    }
    const root = await tree.store((json) => writer.addTree(json));
    await writer.settle();
    const snapshot = encodeSnapshot({
      time: report.ended,
      parent: null,
      tree: root,
      paths: [FOLDER],
      hostname,
      username,
      uid,
      gid,
      excludes: [],
      tags: tagsOf(report),
      original: null,
      programVersion: program,
      summary: null,
      extra: {},
    });
    return await captures.save("snapshot", snapshot, held.signal);
  } finally {
    await held.release();
  }
}

function tagsOf({ verdict, instance, files, id, recovery_ms: ms }: DrillReport): string[] {
  const tags = [DRILL_TAG, `drill=${id}`, `verdict=${verdict}`];
  if (instance.database !== null) tags.push(`database=${encodeURIComponent(instance.database)}`);
  if (ms !== null) tags.push(`recovery-ms=${ms}`);
  if (files?.rotation) tags.push(`rotation=${files.rotation}`);
  return tags;
}

/** What a listing of snapshots tells about a drill. */
export interface StoredDrill {
  /** Of the snapshot, and of the drill. */
  readonly snapshot: Id;
  readonly drill: string;
  /** When it ended, in milliseconds since 1970. */
  readonly time: number;
  readonly verdict: DrillVerdict;
  readonly database: string | undefined;
  /** Undefined unless everything was recovered. */
  readonly recoveryMs: number | undefined;
  /** Where the next sample begins. */
  readonly rotation: string | undefined;
}

/** The drills that a capture repository knows of, oldest first. Reads snapshots alone. */
export async function listDrills(
  captures: Repository,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<StoredDrill[]> {
  const filter = { tags: [[DRILL_TAG]] };
  const snapshots = await listSnapshots(captures, { filter, onDamage: () => {}, signal });
  return snapshots.flatMap((found) => readDrill(found) ?? []);
}

/** The drill that a snapshot stands for; undefined for any other snapshot, or when somebody changed its tags. */
export function readDrill({ id, snapshot }: FoundSnapshot): StoredDrill | undefined {
  if (!snapshot.tags.includes(DRILL_TAG)) return undefined;
  const values = tagValues(snapshot.tags);
  const verdict = verdictIn(values.get("verdict"));
  if (verdict === undefined) return undefined;
  const ms = values.get("recovery-ms") ?? "";
  return {
    snapshot: id,
    drill: values.get("drill") ?? "",
    time: secondOf(parseTime(snapshot.time)) * 1000,
    verdict,
    database: decoded(values.get("database")),
    recoveryMs: /^\d{1,12}$/.test(ms) ? Number(ms) : undefined,
    rotation: sha1In(values.get("rotation")),
  };
}

/** Where the sample of the newest report in a folder ended; undefined when it read everything, or there is none. */
export async function rotationIn(folder: string): Promise<string | undefined> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  const newest = names
    .filter((name) => name.startsWith("drill-") && name.endsWith(".json"))
    .toSorted()
    .at(-1);
  if (newest === undefined) return undefined;
  const value = objectIn(await readFile(join(folder, newest), "utf8"));
  const files = value?.["files"] as { rotation?: unknown } | null | undefined;
  return sha1In(files?.rotation);
}

/**
 * Whether the report whose JSON is `json` was signed by the key, PEM; the report. Throws USAGE for what is no report and for a
 * key that is none, DRILL_FAILED when the signature is not of that key and those bytes.
 */
export function verifyReport(
  json: Buffer,
  signature: Buffer,
  publicKey: string,
): { readonly report: DrillReport; readonly key: string } {
  const key = readPublicKey(publicKey);
  if (!isSignedBy(json, signature, key)) {
    throw new HoldfastError("DRILL_FAILED", "the signature does not belong to this report", {
      hint: "Either the report was changed, or another key signed it.",
    });
  }
  const report = objectIn(json.toString("utf8"));
  if (report?.["format"] !== REPORT_FORMAT)
    throw new HoldfastError("USAGE", "this is signed, but no report of a drill");
  return { report: report as unknown as DrillReport, key: fingerprint(key) };
}

function verdictIn(text: string | undefined): DrillVerdict | undefined {
  return text === "passed" || text === "failed" || text === "incomplete" ? text : undefined;
}

function sha1In(value: unknown): string | undefined {
  return typeof value === "string" && /^[0-9a-f]{40}$/.test(value) ? value : undefined;
}

function decoded(text: string | undefined): string | undefined {
  try {
    return text === undefined ? undefined : decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
