// The way back to VolSync: would its own mover restore from a repository that our movers wrote? Its rules of choosing a snapshot,
// written here from their description and no line of them copied, are asked of what real restic prints; then real restic restores
// the choice with the words that VolSync uses. And the other way: a repository that real restic filled as VolSync's mover does goes on.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import { plantTree } from "../faults/source-tree.ts";
import { assertSameTree, PROGRAM, ROOT_ONLY } from "../faults/workbench.ts";
import { peer, skipWithout } from "../peers.ts";

const execute = promisify(execFile);
let folder: string;
const at = (...parts: string[]): string => join(folder, ...parts);

interface Row {
  readonly id: string;
  readonly time: number;
}

/** Rows of the printed table that name the volume, whatever their host; times in whole seconds, one row for each; newest first. */
function rowsOf(table: string): Row[] {
  const bySecond = new Map<number, string>();
  for (const line of table.split("\n").filter((each) => each.includes("/data"))) {
    const [id, date, time] = line.split(/ +/);
    bySecond.set(Math.trunc(Date.parse(`${date}T${time}Z`) / 1000), id!);
  }
  return [...bySecond].map(([time, id]) => ({ id, time })).sort((a, b) => b.time - a.time);
}

/** The newest one not after `asOf`, then `previous` before it. */
function choose(rows: readonly Row[], { asOf = Infinity, previous = 0 } = {}): Row | undefined {
  return rows.filter(({ time }) => time <= asOf)[previous];
}

function environment(): Record<string, string> {
  return {
    PATH: "/usr/bin:/bin",
    HOME: folder,
    TZ: "UTC",
    RESTIC_REPOSITORY: at("repository"),
    RESTIC_PASSWORD: "right",
    RESTIC_CACHE_DIR: at("cache"),
  };
}

async function restic(words: readonly string[], cwd = folder): Promise<string> {
  return (await execute(peer("restic-newest").path, words, { cwd, env: environment() })).stdout;
}

/** As VolSync's mover runs it: the volume is at /data, which is the directory that it works in. Needs root, for the mounts. */
async function resticAtData(words: readonly string[]): Promise<string> {
  const jail = mkdtempSync(join(tmpdir(), "holdfast-jail-"));
  const program = peer("restic-newest").path;
  const script = `
set -e
mount -t tmpfs none "$1"
for place in /usr /lib /lib64 /etc "$3" "$(dirname "$4")"; do
  mkdir -p "$1$place" && mount --rbind "$place" "$1$place"
done
mkdir -p "$1/data" && mount --bind "$2" "$1/data"
jail=$1 program=$4; shift 4
exec /usr/sbin/chroot "$jail" /usr/bin/env -C /data "$program" "$@"`;
  const given = [jail, at("data"), folder, program, ...words];
  try {
    const run = ["-m", "bash", "-c", script, "bash", ...given];
    const { stdout } = await execute("unshare", run, { env: environment() });
    return stdout;
  } finally {
    rmSync(jail, { recursive: true });
  }
}

async function mover(role: "backup" | "restore", env: Record<string, string>): Promise<string> {
  const options = { env: { ...environment(), HOLDFAST_TERMINATION_LOG: at("verdict"), ...env } };
  return (await execute(PROGRAM, ["mover", role], options)).stdout;
}

suite("back to VolSync, and from it", { skip: skipWithout("restic-newest") }, () => {
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "holdfast-rules-"));
    plantTree(at("data"), { many: 10 });
    mkdirSync(at("data", "lost+found"));
    await restic(["init"]);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  test(
    "what VolSync's mover wrote is gone on from: same host and path, with it as the parent",
    { skip: ROOT_ONLY },
    async () => {
      await resticAtData(["backup", ".", "--host", "volsync", "--exclude", "lost+found"]);
      const said = await mover("backup", {
        DATA_DIR: at("data"),
        FORGET_OPTIONS: "--keep-last 10",
      });
      const all = JSON.parse(await restic(["snapshots", "--json"])) as {
        hostname: string;
        paths: string[];
        tree: string;
        id: string;
        parent?: string;
      }[];
      assert.equal(all.length, 2);
      for (const { paths, hostname } of all) {
        assert.deepEqual(paths, ["/data"]);
        assert.equal(hostname, "volsync");
      }
      assert.equal(all[1]!.parent, all[0]!.id);
      assert.match(said, /snapshot [0-9a-f]+ saved/);
      assert.equal(all[1]!.tree, all[0]!.tree, "the same files make the same tree");
    },
  );

  test("its rules find our snapshots, in their order, and what it restores is the volume", async () => {
    if (ROOT_ONLY !== false) await mover("backup", { DATA_DIR: at("data") });
    // VolSync tells snapshots apart by the second.
    const [id] = rowsOf(await restic(["snapshots", "--latest", "1"])).map((row) => row.id);
    await restic(["rewrite", "--forget", "--new-time", "2026-01-02 03:04:05", id!]);
    writeFileSync(at("data", "later"), "later");
    await mover("backup", { DATA_DIR: at("data"), FORGET_OPTIONS: "--keep-last 10" });
    const json = JSON.parse(await restic(["snapshots", "--json", "--path", "/data"])) as {
      short_id: string;
      time: string;
    }[];
    const ours = json.toSorted((a, b) => Date.parse(b.time) - Date.parse(a.time));
    const rows = rowsOf(await restic(["snapshots"])).filter(({ id }) =>
      ours.some(({ short_id }) => short_id === id),
    );
    assert.deepEqual(
      rows.map(({ id }) => id),
      ours.map(({ short_id }) => short_id),
    );
    assert.equal(choose(rows)!.id, ours[0]!.short_id);
    assert.equal(choose(rows, { previous: 1 })!.id, ours[1]!.short_id);
    assert.equal(choose(rows, { asOf: rows[1]!.time })!.id, ours[1]!.short_id);
    assert.equal(choose(rows, { asOf: 0 }), undefined);
    assert.equal(choose(rows, { previous: 9999 }), undefined);

    mkdirSync(at("target"));
    const words = ["restore", "-t", ".", choose(rows)!.id, "--host", "volsync"];
    await restic([...words, "--include-xattr", "user.*"], at("target"));
    rmSync(at("data", "lost+found"), { recursive: true });
    assertSameTree(at("target"), at("data"));
  });

  test("its retention and its check accept what we wrote; ours restores what is left", async () => {
    await restic(["forget", "--host", "volsync", "--keep-last", "1", "--prune"]);
    await restic(["check", "--read-data"]);
    mkdirSync(at("ours"));
    await mover("restore", { DATA_DIR: at("ours") });
    assertSameTree(at("ours"), at("data"));
  });
});
