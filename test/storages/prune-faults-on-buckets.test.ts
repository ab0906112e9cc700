// A prune on buckets that refuse, forget and lie: it ends well when the fault passes, otherwise with one clear error; and in
// either case with a repository in which real restic finds every byte.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { inspect } from "node:util";
import type { Id } from "../../src/base/bytes.ts";
import { isHoldfastError } from "../../src/base/errors.ts";
import type { HoldfastError } from "../../src/base/errors.ts";
import { LockHolder } from "../../src/repository/lock-holder.ts";
import { listLocks, removeLocks } from "../../src/repository/locks.ts";
import { decodeLock } from "../../src/restic/lock-file.ts";
import { pruneAll } from "../faults/prune-run.ts";
import { openWorkbench } from "../faults/workbench.ts";
import { skipWithout } from "../peers.ts";
import {
  assertResticContent,
  placeFolder,
  PREFIX,
  programsOn,
  startGcs,
  startS3,
} from "./bucket-places.ts";
import type { Place, Service } from "./bucket-places.ts";
import { assertFinishes, makePrunable, STRAY_PACK, usingPlace } from "./prunable.ts";
import type { Decide, Watched, WatchedAnswer } from "./request-watch.ts";

const bench = await openWorkbench({ after });
let snapshots: Id[] = [];

/** Whether a request deletes objects of one of these folders; of any, without folders. */
function deletes({ kind, names }: Watched, ...folders: readonly string[]): boolean {
  if (kind !== "delete") return false;
  const isIn = (folder: string): boolean =>
    names.some((name) => name.startsWith(`${PREFIX}${folder}/`));
  return folders.length === 0 || folders.some(isIn);
}

/** What a prune fails with. */
async function failureOf(place: Place): Promise<HoldfastError> {
  return usingPlace(place, async (repository) => {
    const error = await pruneAll(repository).then(
      (result) => assert.fail(`it succeeded: ${inspect(result)}`),
      (failure: unknown) => failure,
    );
    assert.ok(isHoldfastError(error), inspect(error));
    return error;
  });
}

/** How many of the locks that are there are exclusive. */
function exclusiveLocks(place: Place): Promise<number> {
  return usingPlace(place, async (repository) => {
    const locks = await repository.list("lock");
    const found = await Promise.all(
      locks.map(async ({ id }) => decodeLock(await repository.load("lock", id))),
    );
    return found.filter(({ exclusive }) => exclusive).length;
  });
}

/** What the hint asks for. */
const DELETE_RIGHT = /s3:DeleteObject|storage\.objects\.delete/;

const SERVICES: readonly [name: string, start: () => Promise<Service>, skip: string | false][] = [
  ["S3", startS3, skipWithout("versitygw", "restic-newest")],
  ["Cloud Storage", startGcs, skipWithout("restic-newest")],
];

for (const [name, start, skip] of SERVICES) {
  suite(`a prune on ${name}`, { skip }, () => {
    let service: Service;
    let template: Place;
    before(async () => {
      if (snapshots.length === 0) snapshots = await makePrunable(bench);
      service = await start();
      template = placeFolder(service, bench.repository);
    });
    after(() => service.close());

    /** A new copy of the repository, whose requests are decided so while `work` is done. */
    async function under(decide: Decide, work: (place: Place) => Promise<void>): Promise<Place> {
      const place = service.place(template);
      service.watch.decide = decide;
      try {
        await work(place);
      } finally {
        service.watch.decide = undefined;
      }
      return place;
    }

    test("rides it out when deletions are refused for a moment, or done without an answer that says so", async () => {
      const tries = new Map<string, number>();
      const decide: Decide = async (request, passOn) => {
        if (request.kind !== "delete") return passOn();
        const tried = (tries.get(request.path) ?? 0) + 1;
        tries.set(request.path, tried);
        if (tried === 1) return service.slowDown;
        const answer = await passOn();
        if (tried > 3) return answer;
        return tried === 2 ? "cut" : service.slowDown;
      };
      const place = await under(decide, async (slow) => {
        const { notices, packsRemoved } = await usingPlace(slow, (opened) => pruneAll(opened));
        assert.deepEqual(notices, []);
        assert.ok(packsRemoved > 5, `${packsRemoved}`);
      });
      assert.ok(tries.size > 3);
      for (const [path, tried] of tries) assert.ok(tried >= 4, `${path} ${tried}`);
      await assertFinishes(place, snapshots);
      await assertResticContent(bench, place);
    });

    for (const [why, code] of [
      ["unavailable", "STORAGE_UNAVAILABLE"],
      ["forbidden", "STORAGE_DENIED"],
    ] as const) {
      // What an error of the service means is no matter of the command.
      if (why === "unavailable" && name !== "S3") continue;
      const refusing =
        (...folders: string[]): Decide =>
        (request, passOn) => {
          if (!deletes(request, ...folders)) return passOn();
          return why === "unavailable" ? service.slowDown : service.denied;
        };

      test(`ends before it writes where deleting is ${why}, and locks nobody out`, async () => {
        let failure: HoldfastError | undefined;
        const place = await under(refusing(), async (refused) => {
          failure = await failureOf(refused);
        });
        assert.equal(failure?.code, code);
        assert.match(
          failure.message,
          /nothing can be removed here, not even our own lock: .*delete/,
        );
        if (why === "forbidden") assert.match(failure.hint ?? "", DELETE_RIGHT);
        assert.deepEqual(place.names().filter(isNoLock), template.names().filter(isNoLock));
        assert.equal(await exclusiveLocks(place), 0);
        await assertResticContent(bench, place);
        await assertFinishes(place, snapshots);
      });

      if (why === "unavailable") continue;

      test(`ends with that where deleting index files is ${why}`, async () => {
        let failure: HoldfastError | undefined;
        const place = await under(refusing("index"), async (refused) => {
          failure = await failureOf(refused);
        });
        assert.equal(failure?.code, code);
        assert.match(failure.message, /cannot delete index/);
        assert.deepEqual(
          place.names().filter((each) => !isNoLock(each)),
          [],
        );
        await assertResticContent(bench, place);
        await assertFinishes(place, snapshots);
      });

      test(`says that packs stay where deleting them is ${why}`, async () => {
        let failure: HoldfastError | undefined;
        const place = await under(refusing("data"), async (refused) => {
          failure = await failureOf(refused);
        });
        assert.equal(failure?.code, "INCOMPLETE");
        assert.ok(isHoldfastError(failure.cause, code), inspect(failure));
        assert.match(failure.hint ?? "", /the next prune removes them/);
        assert.deepEqual(
          place.names().filter((each) => !isNoLock(each)),
          [],
        );
        await assertResticContent(bench, place);
        await assertFinishes(place, snapshots);
      });
    }

    test("the program ends with one error where it may not delete, as does every exclusive command", async () => {
      const place = await under(
        (request, passOn) => (deletes(request) ? service.denied : passOn()),
        async (refused) => {
          const { holdfast } = programsOn(bench, refused);
          for (const words of [
            ["prune"],
            ["forget", "--keep-last", "1"],
            ["tag", "--add", "new"],
          ]) {
            const { stderr } = await holdfast(words, { status: 1 });
            assert.equal(stderr.split("Fatal:").length, 2, stderr);
            assert.match(stderr, /Fatal: .*cannot delete locks\//);
            assert.match(stderr, DELETE_RIGHT);
          }
          // Whoever only adds goes on.
          const backup = await holdfast(["backup", bench.at("source"), "--tag", "later"]);
          assert.match(backup.stderr, /unable to remove lock/);
        },
      );
      assert.equal(await exclusiveLocks(place), 0);
      await assertResticContent(bench, place);
    });

    test("another's exclusive lock that appears while it copies: refused, and finished later", async () => {
      let locking: Promise<void> | undefined;
      const lock = (place: Place): Promise<void> =>
        usingPlace(
          place,
          async (repository) => {
            await new LockHolder(repository, { exclusive: true }).write();
          },
          { hostname: "elsewhere" },
        );
      let failure: HoldfastError | undefined;
      const place = service.place(template);
      service.watch.decide = async (request, passOn) => {
        const isCopy = request.names.some((each) => each.startsWith(`${PREFIX}data/`));
        if (request.kind === "write" && isCopy) await (locking ??= lock(place));
        return passOn();
      };
      try {
        failure = await failureOf(place);
      } finally {
        service.watch.decide = undefined;
      }
      assert.equal(failure.code, "REPO_LOCKED");
      assert.match(failure.message, /locked exclusively by PID .* on elsewhere/);
      for (const each of template.names()) assert.ok(place.names().includes(each), each);
      await usingPlace(place, async (repository) => {
        assert.equal((await listLocks(repository)).length, 1, "only the other's is there");
        await removeLocks(repository, { all: true });
      });
      await assertFinishes(place, snapshots);
      await assertResticContent(bench, place);
    });

    const kinds = { snapshots: "snapshot", index: "index", data: "pack", locks: "lock" } as const;
    for (const [folder, outcome] of [
      ["snapshots", "refuses"],
      ["index", "refuses"],
      ["data", "ends well"],
      ["locks", "ends well"],
    ] as const) {
      test(`${outcome} when a list still shows what was deleted in ${folder}`, async () => {
        let earlier: WatchedAnswer | undefined;
        let isStale = false;
        const decide: Decide = async (request, passOn) => {
          if (!isListOf(request, folder)) return passOn();
          if (isStale) return earlier!;
          return (earlier ??= await passOn());
        };
        let left = snapshots;
        const place = await under(decide, async (stale) =>
          usingPlace(stale, async (repository) => {
            if (folder === "locks") await new LockHolder(repository, { exclusive: true }).write();
            const [file] = await repository.list(kinds[folder]);
            if (folder === "index") await pruneAll(repository);
            else await repository.remove(kinds[folder], folder === "data" ? STRAY_PACK : file!.id);
            left = snapshots.filter((id) => folder !== "snapshots" || id !== file!.id);
            isStale = true;
            const pruning = pruneAll(repository);
            if (outcome === "ends well") return void (await pruning);
            await assert.rejects(pruning, { code: "PRUNE_REFUSED", hint: /lag behind/ });
          }),
        );
        assert.ok(isStale);
        await assertResticContent(bench, place);
        await assertFinishes(place, left);
      });
    }
  });
}

/** Whether a request lists a folder of the repository. */
function isListOf({ method, path }: Watched, folder: string): boolean {
  return method === "GET" && new RegExp(`[?&]prefix=[^&]*${folder}(?:/|%2F|&|$)`).test(path);
}

const isNoLock = (name: string): boolean => !name.startsWith("locks/");

suite("a prune of a bucket with rules of its own", { skip: SERVICES[0]![2] }, () => {
  test("S3: single objects of a deletion of many are refused, in passing and for good", async () => {
    const service = await startS3();
    try {
      const template = placeFolder(service, bench.repository);
      for (const [error, times, isWhole] of [
        ["SlowDown", 2, true],
        ["AccessDenied", Infinity, false],
      ] as const) {
        const place = service.place(template);
        let said = 0;
        service.watch.decide = async (request, passOn) => {
          const answer = await passOn();
          if (!deletes(request, "data") || request.method !== "POST" || said >= times)
            return answer;
          said++;
          const key = request.names[0]!;
          const failed = `<Error><Key>${key}</Key><Code>${error}</Code><Message>No.</Message></Error>`;
          return { ...answer, body: `<DeleteResult>${failed}</DeleteResult>` };
        };
        const pruning = usingPlace(place, (repository) => pruneAll(repository));
        if (isWhole) await pruning;
        else await assert.rejects(pruning, { code: "INCOMPLETE", message: /AccessDenied/ });
        assert.ok(said > 0);
        service.watch.decide = undefined;
        await assertFinishes(place, snapshots);
      }
    } finally {
      await service.close();
    }
  });

  test("Cloud Storage: a retention policy keeps everything, and a prune leaves it as it is", async () => {
    const service = await startGcs();
    try {
      const template = placeFolder(service, bench.repository);
      const kept = service.place(template, { retentionSeconds: 86_400, retentionLocked: true });
      const failure = await failureOf(kept);
      assert.equal(failure.code, "STORAGE_DENIED");
      assert.match(
        `${failure.message} ${failure.hint}`,
        /retention policy.*Wait until it has passed/s,
      );
      assert.equal(await exclusiveLocks(kept), 0);
      assert.deepEqual(kept.names().filter(isNoLock), template.names().filter(isNoLock));
      for (const each of kept.names()) if (!isNoLock(each)) kept.remove(each);
      await assertResticContent(bench, service.place(kept));
    } finally {
      await service.close();
    }
  });
});
