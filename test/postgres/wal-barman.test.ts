// WAL between us and Barman's own cloud tools, both ways, over a real server of S3: the oldest Barman that we write for and the
// newest, in every compression they have, each beside a leftover partial segment.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, suite, test } from "node:test";
import { gzipSync } from "node:zlib";
import { eachLimit } from "../../src/base/concurrency.ts";
import { skipWithout } from "../peers.ts";
import { startVersitygw, type S3Server } from "../s3/versitygw.ts";
import { barmanCloud, s3Environment, type BarmanPeer, type BarmanTarget } from "./barman-cloud.ts";
import { runProgram, type ProgramRun } from "./program.ts";
import { makeSegment } from "./segments.ts";

const folder = mkdtempSync(join(tmpdir(), "holdfast-wal-barman-"));
let s3: S3Server;

before(async () => {
  if (skipWithout("versitygw") === false) s3 = await startVersitygw();
});
after(async () => {
  await s3?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** What `barman-cloud-wal-archive` of each version can do. */
const COMPRESSIONS: readonly [
  BarmanPeer,
  readonly (readonly [option: string, suffix: string])[],
][] = [
  [
    "barman-oldest",
    [
      ["", ""],
      ["--gzip", ".gz"],
      ["--bzip2", ".bz2"],
      ["--snappy", ".snappy"],
    ],
  ],
  [
    "barman-newest",
    [
      ["", ""],
      ["--gzip", ".gz"],
      ["--bzip2", ".bz2"],
      ["--xz", ".xz"],
      ["--snappy", ".snappy"],
      ["--zstd", ".zst"],
      ["--lz4", ".lz4"],
    ],
  ],
];

const SERVER = "odoo";
const HISTORY = "1\t0/500000\tno recovery target specified\n";

class Scene {
  readonly bucket: string;
  readonly target: BarmanTarget;

  constructor(name: BarmanPeer) {
    this.bucket = s3.makeBucket();
    this.target = { name, s3, url: `s3://${this.bucket}/base`, server: SERVER };
  }

  /** The file of an object, which it is for this server of S3. */
  object(path: string): string {
    return join(s3.folderOf(this.bucket), "base", SERVER, path);
  }

  leave(path: string, content: Uint8Array): void {
    mkdirSync(dirname(this.object(path)), { recursive: true });
    writeFileSync(this.object(path), content);
  }

  async ours(verb: string, words: readonly string[]): Promise<ProgramRun> {
    const archive = ["--archive", `s3:${s3.endpoint}/${this.bucket}/base`, "--server", SERVER];
    return await runProgram(["pg", verb, ...words, ...archive], { env: s3Environment(s3) });
  }

  async fetched(name: string): Promise<Buffer | number | null> {
    const path = join(mkdtempSync(join(folder, "to-")), "file");
    const { status, stderr } = await this.ours("wal-fetch", [name, path]);
    if (status !== 0) return status;
    assert.equal(stderr, "");
    return readFileSync(path);
  }

  async restored(name: string): Promise<Buffer> {
    const path = join(mkdtempSync(join(folder, "to-")), "file");
    await barmanCloud(this.target, "wal-restore", [], [name, path]);
    return readFileSync(path);
  }
}

function source(name: string, content: Uint8Array | string): string {
  const path = join(mkdtempSync(join(folder, "from-")), name);
  writeFileSync(path, content);
  return path;
}

for (const [peerName, compressions] of COMPRESSIONS) {
  suite(peerName, { skip: skipWithout(peerName, "versitygw") }, () => {
    test("what Barman archives we fetch, whole, in every compression, partials beside it or not", async () => {
      const scene = new Scene(peerName);
      await eachLimit(compressions, 3, async ([option, suffix], i) => {
        const name = `00000001000000000000000${i}`;
        const segment = makeSegment({ name });
        const words = option === "" ? [] : [option];
        await barmanCloud(scene.target, "wal-archive", words, [source(name, segment)]);
        const begun = makeSegment({ name, pages: 2 });
        scene.leave(`wals/0000000100000000/${name}.partial`, begun);
        scene.leave(`wals/0000000100000000/${name}.partial.gz`, gzipSync(begun));
        assert.deepEqual(await scene.fetched(name), segment, option);

        // What is there we push again without storing it twice, and nothing else in its place; the partials go.
        const again = await scene.ours("wal-push", [source(name, segment), "--json"]);
        assert.deepEqual([again.status, again.stderr], [0, ""], option);
        const told = JSON.parse(again.stdout) as { object: string; removed: string[] };
        assert.equal(told.object, `wals/0000000100000000/${name}${suffix}`);
        assert.equal(told.removed.length, 2, option);
        const other = source(name, makeSegment({ name, seed: 1 }));
        const refused = await scene.ours("wal-push", [other]);
        assert.equal(refused.status, 1);
        assert.match(refused.stderr, /holds other content/);
        assert.deepEqual(await scene.fetched(name), segment, option);
        // Where it is not compressed, Barman would have taken the partial one.
        if (option === "") assert.deepEqual(await scene.restored(name), segment);
      });
      const [option = ""] = compressions.at(-1) ?? [];
      const label = "000000010000000000000000.00000028.backup";
      for (const [name, text] of [
        ["00000002.history", HISTORY],
        [label, "START WAL LOCATION: 0/28\n"],
      ] as const) {
        await barmanCloud(scene.target, "wal-archive", [option], [source(name, text)]);
        assert.deepEqual(await scene.fetched(name), Buffer.from(text));
        assert.equal((await scene.ours("wal-push", [source(name, text)])).status, 0);
      }
      assert.equal(await scene.fetched("000000010000000000000099"), 1);
    });

    test("what we archive Barman restores, whole, also where a partial one lay before", async () => {
      const scene = new Scene(peerName);
      const known = compressions.some(([option]) => option === "--zstd");
      const kinds = ["gzip", "none", "gzip:9", ...(known ? ["zstd"] : [])];
      await eachLimit(kinds, 3, async (kind, i) => {
        const name = `00000001000000000000000${i}`;
        const segment = makeSegment({ name });
        const begun = source(`${name}.partial`, makeSegment({ name, pages: 2 }));
        const words = ["--wal-compression", kind];
        assert.equal((await scene.ours("wal-push", [begun, ...words])).status, 0);
        assert.deepEqual(await scene.restored(name), readFileSync(begun), kind);
        assert.equal((await scene.ours("wal-push", [source(name, segment), ...words])).status, 0);
        assert.deepEqual(await scene.restored(name), segment, kind);
        assert.deepEqual(await scene.fetched(name), segment, kind);
      });
      await scene.ours("wal-push", [source("00000002.history", HISTORY)]);
      assert.deepEqual(await scene.restored("00000002.history"), Buffer.from(HISTORY));
    });

    test("Barman finds our archive in use, and free for a later timeline", async () => {
      const scene = new Scene(peerName);
      const check = (words: readonly string[]): Promise<string> =>
        barmanCloud(scene.target, "check-wal-archive", words);
      await check([]);
      const name = "000000010000000000000001";
      await scene.ours("wal-push", [source(name, makeSegment({ name }))]);
      await assert.rejects(check([]), /Expected empty archive/);
      await assert.rejects(check(["--timeline", "1"]), /equal to or newer than timeline 1/);
      await check(["--timeline", "2"]);
    });
  });
}
