// kill -9 of a prune on object storage: at every request that writes or deletes an object, once the service has carried it
// out and nobody was told; and in the middle of a request that deletes many objects, of which some are gone then. After
// each, every byte of every snapshot is there, the next prune finishes, and real restic finds nothing to complain of.

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { after, before, suite, test } from "node:test";
import type { Id } from "../../src/base/bytes.ts";
import { openWorkbench } from "../faults/workbench.ts";
import { skipWithout } from "../peers.ts";
import { assertResticContent, placeFolder, PREFIX, startGcs, startS3 } from "./bucket-places.ts";
import type { Place, Service } from "./bucket-places.ts";
import { assertFinishes, makePrunable } from "./prunable.ts";
import type { Watched } from "./request-watch.ts";

const bench = await openWorkbench({ after });
let snapshots: Id[] = [];

/** What a request changes, or undefined when it reads. */
function changeOf({ kind, names }: Watched): string | undefined {
  if (kind === "read") return undefined;
  return `${kind} ${names.map((name) => name.slice(PREFIX.length).split("/")[0]).join(" ")}`;
}

interface Death {
  /** What the requests up to the death changed, one each. */
  changes: string[];
  died: boolean;
}

/** How a request to delete many ends with the program: "some" of its objects are gone. */
type Way = "all" | "some";

/** Prunes with the program and kills it at the change with this number; `Infinity` lets it end. */
async function killAt(
  service: Service,
  place: Place,
  { number, way }: { number: number; way: Way },
): Promise<Death> {
  let child: ChildProcess | undefined;
  const changes: string[] = [];
  let died = false;
  service.watch.decide = async (request, passOn) => {
    const change = changeOf(request);
    if (change === undefined) return passOn();
    changes.push(change);
    if (changes.length < number) return passOn();
    // Nothing of what comes after a death reaches the service.
    if (died) return "cut";
    died = true;
    if (way === "all") await passOn();
    else {
      const half = request.names.slice(0, request.names.length >> 1);
      for (const name of half) place.remove(name.slice(PREFIX.length));
    }
    child!.kill("SIGKILL");
    if (child!.exitCode === null && child!.signalCode === null) await once(child!, "exit");
    return "cut";
  };
  try {
    const words = ["prune", "--max-unused", "0", "--quiet"];
    const onStart = (started: ChildProcess): void => void (child = started);
    const { location: repository, env } = place;
    const run = await bench.holdfast(words, { repository, env, onStart });
    assert.deepEqual([run.status, run.signal], died ? [null, "SIGKILL"] : [0, null], run.stderr);
  } finally {
    service.watch.decide = undefined;
  }
  return { changes, died };
}

/**
 * With the distance between the deaths: they differ little from one service to the other, and each takes a second. With
 * EVERY_DEATH=1 none is left out.
 */
const SERVICES: readonly [string, () => Promise<Service>, skip: string | false, step: number][] = [
  ["S3", startS3, skipWithout("versitygw", "restic-newest"), 1],
  [
    "Cloud Storage",
    startGcs,
    skipWithout("restic-newest"),
    process.env["EVERY_DEATH"] === "1" ? 1 : 5,
  ],
];

for (const [name, start, skip, step] of SERVICES) {
  suite(`kill -9 of a prune on ${name}`, { skip }, () => {
    let service: Service;
    let template: Place;
    let usual: string[];
    before(async () => {
      if (snapshots.length === 0) snapshots = await makePrunable(bench);
      service = await start();
      template = placeFolder(service, bench.repository);
      const place = service.place(template);
      usual = (await killAt(service, place, { number: Infinity, way: "all" })).changes;
      await assertFinishes(place, snapshots);
    });
    after(() => service.close());

    test("at every change: nothing is lost, and the next prune finishes", async () => {
      assert.ok(usual.length >= 12, usual.join("\n"));
      for (const kind of ["write data", "write index", "write locks", "delete index"]) {
        assert.ok(usual.includes(kind), `${kind} in ${usual.join(", ")}`);
      }
      for (let number = 1; ; number += step) {
        const place = service.place(template);
        const { died } = await killAt(service, place, { number, way: "all" });
        if (!died) {
          assert.ok(number > usual.length - 2 - step, `${number} of ${usual.length}`);
          break;
        }
        await assertFinishes(place, snapshots);
        if (number % 4 === 0) await assertResticContent(bench, place);
      }
    });

    test("in the middle of a deletion of many packs", async () => {
      const number = usual.findIndex((change) => change.startsWith("delete data data")) + 1;
      assert.ok(number > 0, usual.join("\n"));
      const place = service.place(template);
      const { died } = await killAt(service, place, { number, way: "some" });
      assert.ok(died);
      await assertFinishes(place, snapshots);
      await assertResticContent(bench, place);
    });
  });
}
