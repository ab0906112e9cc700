import { suite, test } from "node:test";
import assert from "node:assert/strict";
import { memoryRepository, storeSnapshot } from "../../test/memory-repository.ts";
import { faulty } from "../storage/faulty.ts";
import { HoldfastError } from "../base/errors.ts";
import { planForget, removeSnapshots } from "./forget.ts";
import { parseKeepDuration } from "./keep-duration.ts";
import type { KeepPolicy } from "./keep-policy.ts";
import { GROUP_BY_DEFAULT } from "./snapshot-groups.ts";
import { listSnapshots } from "./snapshots.ts";

const TREE = "ac08ce34ba4f8123618661bef2425f7028ffb9ac740578a3ee88684d2523fee8";
const NONE = parseKeepDuration("", "");
const policy = (rules: Partial<KeepPolicy["counts"]>, tags: string[][] = []): KeepPolicy => ({
  counts: { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, ...rules },
  within: NONE,
  withinUnits: { hourly: NONE, daily: NONE, weekly: NONE, monthly: NONE, yearly: NONE },
  tags,
  window: NONE,
});
const options = {
  by: GROUP_BY_DEFAULT,
  now: BigInt(Date.UTC(2026, 5, 1)) * 1_000_000n,
  localOffset: () => 0,
};

/** Three snapshots of web1, the first of which is tagged, and one of web2 between them. */
async function fourSnapshots() {
  const { repository } = memoryRepository();
  const store = (day: number, hostname: string, tags: string[] = []) =>
    storeSnapshot(repository, TREE, {
      time: `2026-01-0${day}T12:00:00Z`,
      hostname,
      tags,
      paths: ["/b", "/a"],
    });
  const ids = [
    await store(1, "web1", ["kept"]),
    await store(2, "web2"),
    await store(3, "web1"),
    await store(4, "web1"),
  ];
  return { repository, ids, snapshots: await listSnapshots(repository) };
}

suite("the plan of a forget", () => {
  test("is made for each group by itself, in the order of their first snapshots", async () => {
    const { snapshots, ids } = await fourSnapshots();
    const groups = planForget(snapshots, { ...options, policy: policy({ last: 1 }) });
    assert.deepEqual(
      groups.map(({ hostname, paths, tags, keep, remove }) => [
        hostname,
        paths,
        tags,
        keep.map(({ id }) => ids.indexOf(id)),
        remove.map(({ id }) => ids.indexOf(id)),
      ]),
      [
        ["web1", ["/a", "/b"], undefined, [3], [2, 0]],
        ["web2", ["/a", "/b"], undefined, [1], []],
      ],
    );
  });

  test("never empties a group by rules", async () => {
    const { snapshots } = await fourSnapshots();
    assert.throws(() => planForget(snapshots, { ...options, policy: policy({}, [["kept"]]) }), {
      code: "SNAPSHOT_LAST",
      message: 'refusing to delete last snapshot of snapshot group "host web2, path [/a /b]"',
    });
  });

  test("without rules removes everything: whoever asks for that has been asked before", async () => {
    const { snapshots } = await fourSnapshots();
    const groups = planForget(snapshots, { ...options, policy: policy({}) });
    assert.equal(groups.flatMap(({ remove }) => remove).length, 4);
  });
});

suite("the removal of snapshots", () => {
  test("goes on when one cannot be removed, and says which", async () => {
    const { ids, repository: intact } = await fourSnapshots();
    const denied = new HoldfastError("STORAGE_DENIED", "no");
    const storage = faulty(intact.storage, [
      { on: "delete", key: new RegExp(ids[1]!), fault: { kind: "before", error: denied } },
    ]);
    const { config, key } = intact;
    const { repository } = memoryRepository({ storage, config, key });
    const [removed, failed]: [string[], string[]] = [[], []];
    const count = await removeSnapshots(repository, ids.slice(0, 3), {
      onRemoved: (id) => removed.push(id),
      onFailed: (id, error) => failed.push(`${id} ${error.message}`),
    });
    assert.equal(count, 1);
    assert.deepEqual(failed, [`${ids[1]} no`]);
    assert.deepEqual(removed.sort(), [ids[0]!, ids[2]!].sort());
    assert.deepEqual(
      (await listSnapshots(intact)).map(({ id }) => id),
      [ids[1], ids[3]],
    );
  });

  test("ends when it is told to", async () => {
    const { ids, repository } = await fourSnapshots();
    const { signal } = { signal: AbortSignal.abort() };
    await assert.rejects(removeSnapshots(repository, ids, { signal }));
    assert.equal((await listSnapshots(repository)).length, 4);
  });
});
