// With captures running beside it, the main repository is what it was without them: real restic lists, restores, forgets and
// prunes there as ever, and meets neither a capture nor a lock of one. A capture is a snapshot that real restic restores.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { suite, test } from "node:test";
import { promisify } from "node:util";
import { readCaptureMark } from "../../src/odoo/capture-mark.ts";
import { storePath } from "../../src/odoo/store-name.ts";
import { peer, skipWithout } from "../peers.ts";
import { serverAccount, skipWithoutServer, until } from "../postgres/servers.ts";
import { openInstance, type InstanceBench } from "./instance-bench.ts";
import { filesBelow, type FoundFile } from "./recovered-moment.ts";
import { position } from "./truth.ts";

const run = promisify(execFile);
const skip = skipWithoutServer() || skipWithout("restic-newest");

suite("restic beside captures", { skip }, () => {
  test("snapshots, restore latest and forget --prune meet the main repository alone; a capture restores", async () => {
    await using bench = await openInstance({ rate: 50, youngest: 3000, collectEvery: 1500 });
    const { odoo, filestore } = bench;
    const backUp = async (): Promise<void> => {
      await bench.holdfast(["backup", filestore, "--exclude", "checklist"]);
    };
    await odoo.populate(120);
    await backUp();
    const capturing = bench.start(["capture", "--every", "1s"]);
    odoo.start();
    await backUp();
    await until("captures", async () => Promise.resolve(odoo.counts.attached > 220));
    await odoo.stop();
    await backUp();

    const snapshots = await list(bench, bench.repository);
    assert.equal(snapshots.length, 3);
    assert.ok(snapshots.every(({ tags = [] }) => tags.length === 0));
    assert.equal(await restic(bench, bench.repository, "list", "locks"), "");

    const live = shaOf(filesBelow(filestore).filter(({ path }) => !path.startsWith("checklist/")));
    const restored = join(bench.root, "restored");
    await restic(bench, bench.repository, "restore", "latest", "--target", restored);
    assert.deepEqual(shaOf(filesBelow(join(restored, filestore))), live);

    await restic(bench, bench.repository, "forget", "--keep-last", "1", "--prune");
    assert.equal((await list(bench, bench.repository)).length, 1);
    await restic(bench, bench.repository, "check", "--read-data");

    // The captures go on, though the snapshots that they followed are gone.
    await odoo.populate(20);
    const [{ lsn }] = (await bench.ask("SELECT pg_current_wal_lsn()::text AS lsn")) as [
      { lsn: string },
    ];
    const behind = await until(`a capture of ${lsn}`, async () => {
      const found = (await list(bench, bench.captures)).map(({ short_id: id, tags }) => ({
        id,
        mark: readCaptureMark(tags ?? []),
      }));
      return found.find(({ mark }) => (mark?.position?.lsn ?? 0n) >= position(lsn));
    });
    await capturing.stop();
    await restic(bench, bench.captures, "check", "--read-data");

    const fromCapture = join(bench.root, "from-capture");
    await restic(bench, bench.captures, "restore", behind.id, "--target", fromCapture);
    const captured = shaOf(filesBelow(join(fromCapture, filestore)));
    assert.ok(captured.size >= 20, `${captured.size} files`);
    // What the newest full snapshot has not, the captures have.
    const all = new Set([...captured, ...live]);
    for (const sha1 of odoo.referenced) assert.ok(all.has(sha1), sha1);
  });
});

interface Listed {
  readonly short_id: string;
  readonly tags?: string[];
}

async function list(bench: InstanceBench, repository: string): Promise<Listed[]> {
  return JSON.parse(
    await restic(bench, repository, "--no-lock", "snapshots", "--json"),
  ) as Listed[];
}

/** Runs real restic as the one whose repositories these are. */
async function restic(
  bench: InstanceBench,
  repository: string,
  ...words: string[]
): Promise<string> {
  const { stdout } = await run(peer("restic-newest").path, ["-r", repository, ...words], {
    cwd: bench.root,
    env: { ...bench.environment, PATH: "/usr/bin:/bin" },
    maxBuffer: 1 << 26,
    ...serverAccount(),
  });
  return stdout.trim();
}

/** Names of files, each of which must be where Odoo puts it and have the content of its name. */
function shaOf(files: readonly FoundFile[]): Set<string> {
  for (const { name, path, content } of files) {
    assert.equal(content, name);
    assert.equal(path, storePath(name));
  }
  return new Set(files.map(({ name }) => name));
}
