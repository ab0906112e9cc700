// Barman's own catalogue of an archive against ours: the same objects for tars and WAL, the same backups unreadable, the
// same ones kept. Both see the same random names.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readObjectName } from "../../src/barman/layout.ts";
import { readKeep } from "../../src/barman/retention.ts";
import { peer } from "../peers.ts";
import { Archive, doneInfo, read, START, stored, walPath } from "./archives.ts";
import { ask, sample } from "./oracle.ts";

const suffix = fc.constantFrom("", ".gz", ".bz2", ".snappy");
/** The compressions of WAL that each knows. */
const WAL_SUFFIXES = {
  "barman-oldest": ["", ".gz", ".bz2", ".snappy"],
  "barman-newest": ["", ".gz", ".bz2", ".snappy", ".xz", ".zst", ".lz4"],
};

const tar = fc
  .tuple(fc.constantFrom("data", "16385", "16386", "16387"), fc.integer({ min: 0, max: 3 }), suffix)
  .map(([base, part, compressed]) => `${base}${part === 0 ? "" : `_000${part}`}.tar${compressed}`);
const sidecar = fc.constantFrom(
  "backup_manifest",
  "meta.json",
  "database",
  "16388.tar.gz",
  "1638.tar",
  "a/b",
);

const backup = fc.record({
  segment: fc.integer({ min: 1, max: 90 }),
  // Of the names of one part, Barman takes the last that it finds.
  tars: fc.uniqueArray(tar, { maxLength: 8, selector: (name) => name.split(".")[0] }),
  sidecars: fc.uniqueArray(sidecar, { maxLength: 3 }),
  keep: fc.constantFrom(undefined, "full", "standalone"),
  content: fc.constantFrom("good", "good", "good", "broken", "none"),
});

const wal = (suffixes: readonly string[]): fc.Arbitrary<string> =>
  fc
    .tuple(
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 0, max: 600 }),
      fc.constantFrom("", "", ".partial", ".00000028.backup"),
      fc.constantFrom(...suffixes),
    )
    .map(([timeline, segment, kind, compressed]) => walPath(timeline, segment, kind + compressed));
const otherWal = fc.constantFrom(
  "wals/00000002.history",
  "wals/00000003.history.gz",
  "wals/0000000100000000/000000010000000000000001.tmp",
  "wals/archive_status",
  "wals/0000000100000000/x.gz",
);

const anyArchive = (suffixes: readonly string[]) =>
  fc.record({
    backups: fc.uniqueArray(backup, { maxLength: 5, selector: ({ segment }) => segment }),
    wal: fc.uniqueArray(fc.oneof({ weight: 4, arbitrary: wal(suffixes) }, otherWal), {
      maxLength: 20,
      // Nor do we compare which of several names for the same thing Barman takes.
      selector: (path) => path.replace(/\.(gz|bz2|snappy|xz|zst|lz4)$/, ""),
    }),
  });

interface Answer {
  readonly files: Record<string, string[]>;
  readonly unreadable: string[];
  readonly wal: string[];
  readonly keep: Record<string, string | null>;
}

for (const name of ["barman-oldest", "barman-newest"] as const) {
  test(`${name} finds what we find in an archive`, { skip: peer(name).skip }, () => {
    const archives = sample(anyArchive(WAL_SUFFIXES[name]), 600).map((scene) => {
      const archive = new Archive();
      for (const { segment, tars, sidecars, keep, content } of scene.backups) {
        const tablespaces = [16385, 16386].map((oid) => ({
          name: `t${oid}`,
          oid,
          location: `/t/${oid}`,
        }));
        const info = doneInfo({ first: segment, time: stored(segment), more: { tablespaces } });
        const id = archive.backup(info, { tars, ...(keep && { keep }) });
        for (const sidecarName of sidecars) archive.put(`base/${id}/${sidecarName}`, START, 1);
        const path = `base/${id}/backup.info`;
        if (content === "broken") archive.contents.set(path, Buffer.from("no field\n"));
        if (content === "none") archive.remove(path).contents.delete(path);
      }
      for (const path of scene.wal)
        archive.put(path, START, path.includes("history") ? Buffer.from("1\t0/1\t\n") : 16 << 20);
      return { archive };
    });
    const answers = ask<Answer>(
      name,
      archives.map(({ archive: { objects, contents } }) => ({
        ask: "archive",
        names: objects.map(({ path }) => `server/${path}`),
        contents: Object.fromEntries(
          [...contents].map(([path, bytes]) => [`server/${path}`, Buffer.from(bytes).toString()]),
        ),
      })),
    );
    let compared = 0;
    for (const [i, theirs] of answers.entries()) {
      const { archive } = archives[i]!;
      const ours = read(archive);
      const readable = ours.backups.filter(({ info }) => info !== undefined);
      assert.deepEqual(
        readable.map(({ id }) => id),
        Object.keys(theirs.files).toSorted(byText),
      );
      assert.deepEqual(
        ours.backups.filter(({ info }) => !info).map(({ id }) => id),
        theirs.unreadable,
      );
      for (const { id, keep } of readable) {
        const tars = archive.objects
          .map(({ path }) => ({ path, name: readObjectName(path) }))
          .filter(
            ({ name: object }) =>
              object.kind === "tar" &&
              object.backupId === id &&
              [null, 16385, 16386].includes(object.oid),
          )
          .map(({ path }) => path);
        assert.deepEqual(tars.toSorted(byText), theirs.files[id]);
        const theirKeep = theirs.keep[id];
        assert.equal(keep, typeof theirKeep === "string" ? readKeep(theirKeep) : undefined);
      }
      const walNames = archive.objects
        .map(({ path }) => path)
        .filter((path) => readObjectName(path).kind === "wal");
      assert.deepEqual(walNames.toSorted(byText), theirs.wal);
      compared += walNames.length + readable.length;
    }
    assert.ok(compared > 2000, `${compared} objects and backups compared`);
  });
}

function byText(a: string, b: string): number {
  return a < b ? -1 : 1;
}
