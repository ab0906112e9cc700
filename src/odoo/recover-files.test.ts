import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import { systemRandom } from "../base/clock.ts";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { Progress } from "../base/progress.ts";
import type { Pool, PoolAnswer } from "./pool.ts";
import {
  hasAllFiles,
  recoverFiles,
  type FilesReport,
  type RecoverFilesOptions,
} from "./recover-files.ts";
import { REFERENCE, type FileReferences } from "./references.ts";
import { Sha1Set } from "./sha1-set.ts";
import { storePath } from "./store-name.ts";

const sha1 = (text: string): string => createHash("sha1").update(text).digest("hex");

function references(
  texts: readonly string[],
  more: { regenerable?: readonly string[]; oldPaths?: ReadonlyMap<string, string> } = {},
): FileReferences {
  const names = new Sha1Set();
  for (const text of texts) names.add(sha1(text));
  const flags = new Uint8Array(names.size);
  for (const text of more.regenerable ?? [])
    flags[names.indexOf(sha1(text))] = REFERENCE.regenerable;
  return {
    names,
    sizes: Float64Array.from(texts, (text) => text.length),
    rows: new Uint32Array(names.size).fill(1),
    flags,
    oldPaths: more.oldPaths ?? new Map(),
  };
}

/** A pool of these texts; it fails at the file `failsAt`. */
function poolOf(
  texts: readonly string[],
  more: { corrupt?: readonly string[]; failsAt?: string } = {},
): Pick<Pool, "readMany"> & { asked: string[] } {
  const contents = new Map(texts.map((text) => [sha1(text), text]));
  const corrupt = new Set(more.corrupt?.map(sha1));
  const asked: string[] = [];
  const answerOf = (name: string): PoolAnswer => {
    if (corrupt.has(name)) return { status: "corrupt", copies: 1, reason: "of a test" };
    const text = contents.get(name);
    if (text === undefined) return { status: "missing" };
    const bytes = Buffer.from(text);
    return {
      status: "found",
      copy: { content: [], size: bytes.length, snapshot: "0", kind: "captures" },
      size: bytes.length,
      badCopies: 0,
      bytes,
      async *content() {
        yield await Promise.resolve(bytes);
      },
    };
  };
  return {
    asked,
    async readMany(names, take) {
      for (const name of names) {
        if (more.failsAt !== undefined && name === sha1(more.failsAt))
          throw new HoldfastError("STORAGE_UNAVAILABLE", "a test");
        asked.push(name);
        await take(name, answerOf(name));
      }
    },
  };
}

suite("files are recovered", () => {
  let root: string;
  let folder: string;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "holdfast-files-"));
    folder = join(root, "filestore", "odoo");
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const recover = async (
    files: FileReferences,
    pool: Pick<Pool, "readMany">,
    more: Partial<
      Pick<RecoverFilesOptions, "missingAtSource" | "corruptAtSource" | "unknown">
    > = {},
  ): Promise<FilesReport> =>
    await recoverFiles({
      files,
      pool,
      folder,
      random: systemRandom,
      progress: new Progress(),
      ...more,
    });
  const there = (): string[] =>
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => !statSync(join(folder, name)).isDirectory())
      .toSorted();

  test("exactly those that are referred to, where their rows say, as Odoo makes them", async () => {
    const old = `${sha1("old").slice(0, 3)}/${sha1("old")}`;
    const files = references(["one", "two", "old"], { oldPaths: new Map([[sha1("old"), old]]) });
    const report = await recover(files, poolOf(["one", "two", "old", "three"]));
    assert.deepEqual(there(), [storePath(sha1("one")), storePath(sha1("two")), old].toSorted());
    assert.equal(readFileSync(join(folder, old), "utf8"), "old");
    assert.equal(statSync(join(folder, old)).mode & 0o777, 0o644);
    assert.equal(statSync(join(folder, old, "..")).mode & 0o777, 0o755);
    assert.deepEqual([report.ok, report.referenced, report.bytes], [3, 3, 9]);
    assert.ok(hasAllFiles(report));
  });

  test("a name that is none of a filestore's was not looked for, and is not called recovered", async () => {
    const files = references(["one"]);
    const report = await recover(files, poolOf(["one"]), { unknown: ["../../etc/passwd"] });
    assert.deepEqual([report.ok, report.unknown], [1, ["../../etc/passwd"]]);
    assert.equal(hasAllFiles(report), false);
  });

  test("every class of what cannot be had, by name", async () => {
    const texts = ["good", "missing", "gone", "corrupt", "wrong", "bundle"];
    const report = await recover(
      references(texts, { regenerable: ["bundle"] }),
      poolOf(["good"], { corrupt: ["corrupt", "wrong"] }),
      {
        missingAtSource: new Set([sha1("gone")]),
        corruptAtSource: new Set([sha1("wrong")]),
      },
    );
    const { missing, missingAtSource, corrupt, corruptAtSource, regenerable } = report;
    assert.deepEqual(
      [missing, missingAtSource, corrupt, corruptAtSource, regenerable],
      ["missing", "gone", "corrupt", "wrong", "bundle"].map((text) => [sha1(text)]),
    );
    assert.equal(report.ok, 1);
    assert.equal(hasAllFiles(report), false);
  });

  test("nothing missing but bundles is everything", async () => {
    const files = references(["good", "bundle"], { regenerable: ["bundle"] });
    assert.ok(hasAllFiles(await recover(files, poolOf(["good"]))));
  });

  test("what was interrupted goes on: good files stay, torn and foreign ones of it go", async () => {
    const texts = ["one", "two", "three", "four"];
    const failing = poolOf(texts, { failsAt: "three" });
    await assert.rejects(recover(references(texts), failing), (error) =>
      isHoldfastError(error, "STORAGE_UNAVAILABLE"),
    );
    const one = storePath(sha1("one"));
    writeFileSync(join(folder, one), "on");
    writeFileSync(join(folder, one, "..", ".holdfast-0123456789abcdef-7"), "half a fi");
    const other = storePath(sha1("of another moment"));
    mkdirSync(join(folder, other, ".."), { recursive: true });
    writeFileSync(join(folder, other), "of another moment");
    const pool = poolOf(texts);
    const report = await recover(references(texts), pool);
    assert.deepEqual(there(), texts.map((text) => storePath(sha1(text))).toSorted());
    assert.equal(readFileSync(join(folder, one), "utf8"), "one");
    assert.deepEqual([report.ok, report.kept, report.bytes], [4, 1, 15]);
    assert.ok(!pool.asked.includes(sha1("two")));
  });

  test("nothing is written over what somebody else has", async () => {
    const refused = async (): Promise<void> => {
      await assert.rejects(recover(references(["one"]), poolOf(["one"])), (error) =>
        isHoldfastError(error, "TARGET_UNWRITABLE"),
      );
    };
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "mine"), "");
    await refused();
    assert.deepEqual(there(), ["mine"]);
    // Not even with our mark, when what lies there cannot be ours.
    writeFileSync(join(folder, ".holdfast-recovery-is-incomplete"), "");
    await refused();
    rmSync(join(folder, "mine"));
    mkdirSync(join(root, "elsewhere"));
    symlinkSync(join(root, "elsewhere"), join(folder, sha1("one").slice(0, 2)));
    await refused();
    assert.deepEqual(readdirSync(join(root, "elsewhere")), []);
    assert.ok(existsSync(join(folder, sha1("one").slice(0, 2))));
  });

  test("a link in place of the folder is not followed", async () => {
    mkdirSync(join(root, "elsewhere"));
    mkdirSync(join(root, "filestore"));
    symlinkSync(join(root, "elsewhere"), folder);
    await assert.rejects(recover(references(["one"]), poolOf(["one"])), (error) =>
      isHoldfastError(error, "TARGET_UNWRITABLE"),
    );
    assert.deepEqual(readdirSync(join(root, "elsewhere")), []);
  });
});
