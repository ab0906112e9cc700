// `holdfast status` over what other programs made: a repository of restic's with nightly snapshots and an archive, with no more
// than a viewer's rights, and with a live database and filestore beside them.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { storePath } from "../../src/odoo/store-name.ts";
import { peer, skipWithout } from "../peers.ts";
import { serverAccount, skipWithoutServer } from "../postgres/servers.ts";
import { openInstance } from "./instance-bench.ts";

/** All files below `folder` with their sizes and times. */
function state(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const { size, mtimeMs, isDirectory } = {
        ...statSync(path),
        isDirectory: entry.isDirectory(),
      };
      return `${path} ${isDirectory ? "" : `${size} ${mtimeMs}`}`;
    })
    .toSorted();
}

interface Message {
  sentence: string;
  archive: { windows: unknown[] } | null;
  filestores: {
    paths: string[];
    hostname: string;
    joint_windows: unknown[];
    joint_moments: { time: string; snapshot_id: string }[];
    obstacle: string;
    lag_seconds: number;
  }[];
  live: { missing_files: number; referenced_files: number; unarchived_bytes: number } | null;
  problems: string[];
}

void test(
  "nightly snapshots of restic's and an archive: the moments at which they meet, without a trace",
  { skip: skipWithoutServer() || skipWithout("restic-newest") },
  async () => {
    await using bench = await openInstance({ seed: "status" });
    await bench.odoo.populate(20);
    const account = serverAccount();
    const restic = (...words: string[]): string =>
      execFileSync(peer("restic-newest").path!, words, {
        env: { ...process.env, ...bench.environment },
        stdio: ["ignore", "pipe", "pipe"],
        ...account,
      }).toString();
    restic("backup", bench.filestore, "--host", "volsync");
    const receiver = bench.start([
      "pg",
      "receive",
      "--create-slot",
      "--unlimited-slot",
      "--partial-after",
      "100ms",
    ]);
    await bench.holdfast(["pg", "backup"]);
    await bench.odoo.work(20);
    restic("backup", bench.filestore, "--host", "volsync");
    await bench.odoo.work(20);
    await bench.untilArchived(await bench.position());
    await receiver.stop();

    const [before, archived] = [state(bench.repository), state(bench.archive)];
    const folders = [bench.repository, bench.archive];
    execFileSync("chmod", ["-R", "a-w", ...folders]);
    const ask = async (words: readonly string[], status = 0): Promise<Message> =>
      JSON.parse(
        (await bench.holdfast(["status", "--json", "--no-cache", ...words], status)).stdout,
      ) as Message;
    const seen = await ask([]);
    execFileSync("chmod", ["-R", "u+w", ...folders]);
    assert.deepEqual([state(bench.repository), state(bench.archive)], [before, archived]);

    // The first snapshot is older than the base backup.
    const [place, ...others] = seen.filestores;
    assert.deepEqual([others, place!.hostname, place!.paths], [[], "volsync", [bench.filestore]]);
    assert.deepEqual([place!.joint_moments.length, place!.joint_windows], [1, []]);
    assert.equal(place!.obstacle, "no-captures");
    assert.match(
      seen.sentence,
      // Around midnight, what was today is yesterday a moment later.
      /^database: any moment since \d\d:\d\d (?:today|yesterday), until .*; database and files together: \d\d:\d\d (?:today|yesterday)$/,
    );
    assert.equal(seen.live, null);
    assert.deepEqual(seen.problems, []);

    // Beside the living: three files are gone from the source.
    const gone = [...bench.odoo.referenced].slice(0, 3);
    for (const sha1 of gone) rmSync(join(bench.filestore, storePath(sha1)));
    const live = ["-d", bench.environment["HOLDFAST_DATABASE"]!, "--filestore", bench.filestore];
    const beside = await ask(live);
    assert.equal(beside.live!.missing_files, 3);
    assert.equal(beside.live!.unarchived_bytes, 0);
    assert.match(beside.sentence, /; 3 referenced files missing at the source$/);
    const { stdout } = await bench.holdfast(["status", ...live]);
    assert.match(stdout, /◆/);
    assert.match(stdout, /With full snapshots alone, database and files meet where a scan began/);
    assert.match(stdout, /3 are not in the filestore/);

    // For monitoring; and what cannot be read is told beside the rest.
    await ask(["--max-lag", "1h"]);
    const late = await bench.holdfast(["status", "--max-lag", "1ms"], 1);
    assert.match(late.stderr, /can return together only to/);
    const broken = await ask(["--archive", join(bench.root, "nothing")], 3);
    assert.equal(broken.archive, null);
    assert.equal(broken.filestores.length, 1);
    assert.match(broken.problems.join(), /nothing/);
    await bench.holdfast(["status", "-r", join(bench.root, "no-repository")], 10);
  },
);
