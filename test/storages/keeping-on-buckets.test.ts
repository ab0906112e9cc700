// The commands that keep a repository, on object storage: each stage of its life is ours, and after each real restic, by its
// own backends, reads every byte and restores what is to be kept. On a real server of S3, on the double of Cloud Storage, and
// on S3 by way of rclone.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { LockHolder } from "../../src/repository/lock-holder.ts";
import { listSnapshots } from "../../src/repository/snapshots.ts";
import { openAt } from "../faults/engine.ts";
import { createQuickRepository } from "../interop/quick-repository.ts";
import { assertSameTree, openWorkbench, PASSWORD } from "../faults/workbench.ts";
import { peer, skipWithout } from "../peers.ts";
import { seededBytes } from "../seeded-bytes.ts";
import {
  assertResticContent,
  openPlace,
  placeFolder,
  programsOn,
  startGcs,
  startS3,
  throughRclone,
} from "./bucket-places.ts";
import type { Place, Service } from "./bucket-places.ts";

const bench = await openWorkbench({ after });
const source = bench.at("source");
const REMOVAL = { recursive: true, force: true } as const;
let restores = 0;

/** Makes the source as it is in a round; each changes some of its files. */
function changeSource(round: number): void {
  for (let i = 0; i < 12; i++) {
    if (round > 0 && (i + round) % 4 !== 0) continue;
    const folder = join(source, `d${i % 3}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `f${i}`), seededBytes(100 * round + i, 9000 + 100 * i));
  }
  writeFileSync(join(source, "every round"), seededBytes(`every ${round}`, 300_000));
  copyTree(source, bench.at(`state ${round}`));
}

/** With the times of directories. */
function copyTree(from: string, to: string): void {
  execFileSync("cp", ["-a", from, to]);
}

async function snapshotsOf(place: Place): Promise<{ id: string; time: string; tags: string[] }[]> {
  const repository = await openPlace(place);
  try {
    const found = await listSnapshots(repository);
    return found.map(({ id, snapshot: { time, tags } }) => ({ id, time, tags: [...tags] }));
  } finally {
    await repository.storage.close();
  }
}

/** Real restic reads all, and restores each snapshot to what was backed up, but for what was left out of one since. */
async function assertKept(place: Place, thinned?: Thinned): Promise<void> {
  await assertResticContent(bench, place);
  const { restic } = programsOn(bench, place);
  const restore = async ({ id, time }: { id: string; time: string }): Promise<void> => {
    const target = bench.at(`restored ${restores++}`);
    await restic(["restore", `${id}:${source}`, "--target", target]);
    assertSameTree(target, thinned?.time === time ? thinned.state : states.get(time)!);
    rmSync(target, REMOVAL);
  };
  await Promise.all((await snapshotsOf(place)).map(restore));
}

interface Thinned {
  time: string;
  state: string;
}

const packsOf = (place: Place): string[] =>
  place.names().filter((name) => name.startsWith("data/"));

/** What each snapshot holds, by the time that stays when it is written anew. */
const states = new Map<string, string>();
/** The pack with the content of each round. */
const packs: string[] = [];

/** Five snapshots in a folder, of both programs in turn. */
async function makeHistory(): Promise<void> {
  const found = (): string[] => filesBelow(join(bench.repository, "data"));
  for (let round = 0; round < 5; round++) {
    changeSource(round);
    const before = found();
    if (round % 2 === 0) await bench.holdfast(["backup", source], { status: 0 });
    else await bench.restic("newest", ["backup", source]);
    const added = found().filter((name) => !before.includes(name));
    const size = (name: string): number => statSync(join(bench.repository, "data", name)).size;
    packs.push(`data/${added.find((name) => size(name) > 200_000)}`);
  }
  const snapshots = await listSnapshots(await openAt(bench.repository));
  for (const [round, { snapshot }] of snapshots.entries()) {
    states.set(snapshot.time, bench.at(`state ${round}`));
  }
  assert.equal(states.size, 5);
}

function filesBelow(folder: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  return names.filter((name) => !statSync(join(folder, name)).isDirectory());
}

/** A whole life of a repository, and of another one that is empty. */
async function live(place: Place, empty: Place): Promise<void> {
  const { holdfast, restic } = programsOn(bench, place);
  await thin(place);
  await holdfast(["check", "--read-data"]);

  await holdfast(["tag", "--add", "kept"]);
  for (const { tags } of await snapshotsOf(place)) assert.deepEqual(tags, ["kept"]);
  await holdfast(["rewrite", "--forget", "--exclude", "every round", "latest"]);
  const { time } = (await snapshotsOf(place)).at(-1)!;
  const thinned = { time, state: bench.at(`thinned ${restores++}`) };
  copyTree(states.get(time)!, thinned.state);
  rmSync(join(thinned.state, "every round"));
  await holdfast(["prune", "--max-unused", "0"]);
  await assertKept(place, thinned);

  const second = bench.at("second password");
  writeFileSync(second, "another way in");
  await holdfast(["key", "add", "--new-password-file", second]);
  const { stdout } = await restic(["key", "list", "--json"], { password: "another way in" });
  const keys = JSON.parse(stdout) as { current: boolean; id: string }[];
  await holdfast(["key", "remove", keys.find(({ current }) => current)!.id]);
  await restic(["cat", "config"], { password: "another way in", status: 12 });

  const clock = { ...systemClock, now: hourAgo, nowNanoseconds };
  const left = await openPlace(place, { hostname: "gone", clock });
  await new LockHolder(left, { exclusive: true }).write();
  await left.storage.close();
  await holdfast(["prune"], { status: 11 });
  await restic(["check"], { status: 11 });
  await holdfast(["unlock"]);

  const folder = bench.at(`copy ${restores++}`);
  await createQuickRepository(folder, PASSWORD);
  const from = (repository: string): string[] => ["copy", "--from-repo", repository];
  const env = { ...place.env, RESTIC_FROM_PASSWORD: PASSWORD };
  await holdfast(from(place.location), { repository: folder, env });
  await bench.restic("newest", ["check", "--read-data"], { repository: folder });
  await programsOn(bench, empty).holdfast(from(folder), { env });
  await assertKept(empty, thinned);
}

/** Three of the snapshots stay. */
async function thin(place: Place): Promise<void> {
  const { holdfast } = programsOn(bench, place);
  const keep = ["--group-by", "", "--keep-last", "3"];
  await holdfast(["forget", ...keep, "--prune", "--max-unused", "0"]);
  assert.equal((await snapshotsOf(place)).length, 3);
  assert.deepEqual(
    place.names().filter((name) => name.startsWith("locks/")),
    [],
  );
  await assertKept(place);
}

const hourAgo = (): number => systemClock.now() - 3_600_000;
const nowNanoseconds = (): bigint => systemClock.nowNanoseconds() - 3_600_000_000_000n;

/** What each damage leaves is found, repaired as far as it can be, and sound for restic. */
async function mend(place: Place): Promise<void> {
  const { holdfast, restic } = programsOn(bench, place);
  const sound = packsOf(place);

  // The index alone is lost: it is made anew from the packs, and nothing else is lost with it.
  for (const name of place.names()) if (name.startsWith("index/")) place.remove(name);
  await holdfast(["check"], { status: 1 });
  await holdfast(["repair", "index"]);
  await assertKept(place);
  assert.deepEqual(packsOf(place), sound);

  // A pack is gone, and in another one a blob is wrong.
  const [gone, wrong] = [packs[1]!, packs[4]!];
  const bytes = Buffer.from(place.read(wrong));
  bytes[1000]! ^= 1;
  place.write(wrong, bytes);
  place.remove(gone);
  const { stderr } = await holdfast(["check", "--read-data"], { status: 1 });
  for (const pack of [gone, wrong]) assert.ok(stderr.includes(pack.slice(8, 16)), stderr);
  const cwd = bench.at(`rescued ${restores++}`);
  mkdirSync(cwd);
  const refused = await holdfast(["prune"], { status: 1 });
  assert.match(refused.stderr, /missing from the repository.*nothing was removed/s);
  await holdfast(["repair", "packs", wrong.slice("data/00/".length)], { cwd });
  await holdfast(["repair", "index"]);
  await holdfast(["repair", "snapshots", "--forget"]);
  await holdfast(["prune"]);
  await holdfast(["check", "--read-data"]);
  await assertResticContent(bench, place);

  const inGone = ["d0/f3", "d1/f7", "d2/f11"];
  const inWrong = ["d0/f0", "d1/f4", "d2/f8", "every round"];
  const lost = [[], [...inGone, "every round"], inGone, inGone, [...inGone, ...inWrong]];
  const check = async (round: number, { id, time }: { id: string; time: string }) => {
    const target = bench.at(`mended ${restores++}`);
    await restic(["restore", `${id}:${source}`, "--target", target]);
    const damaged = damagedIn(target, states.get(time)!);
    assert.deepEqual(
      damaged.filter((name) => !lost[round]!.includes(name)),
      [],
    );
    // One blob was wrong, and the others of its pack were saved.
    if (round === 4) assert.equal(damaged.length, inGone.length + 1);
  };
  const found = await snapshotsOf(place);
  assert.equal(found.length, 5);
  await Promise.all(found.map((snapshot, round) => check(round, snapshot)));
}

/** Names of files that are not as they were. */
function damagedIn(folder: string, state: string): string[] {
  return filesBelow(state).filter((name) => {
    const restored = join(folder, name);
    return !existsSync(restored) || !readFileSync(restored).equals(readFileSync(join(state, name)));
  });
}

const SERVICES: readonly [name: string, start: () => Promise<Service>, skip: string | false][] = [
  ["S3", startS3, skipWithout("versitygw", "restic-newest")],
  ["Cloud Storage", startGcs, skipWithout("restic-newest")],
];

for (const [name, start, skip] of SERVICES) {
  suite(`a repository on ${name}`, { skip }, () => {
    let service: Service;
    let filled: Place;
    let empty: Place;
    before(async () => {
      if (states.size === 0) await makeHistory();
      service = await start();
      filled = placeFolder(service, bench.repository);
      const folder = bench.at(`empty on ${name}`);
      await createQuickRepository(folder, PASSWORD);
      empty = placeFolder(service, folder);
    });
    after(() => service.close());

    test("is forgotten from, pruned, tagged, rewritten, unlocked and copied, and restic restores what stays", () =>
      live(service.place(filled), empty));

    test("is repaired after objects were deleted and changed", () => mend(service.place(filled)));

    if (name === "S3") {
      test("is thinned out by way of rclone", { skip: peer("rclone").skip }, () =>
        thin(throughRclone(service.place(filled))),
      );
    }
  });
}
