// What goes wrong is seen where people look, as soon as it is known: in the conditions, as an Event, as a metric, each with the fix in
// words. VolSync shows most of these nowhere, or after eight failed pods.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { SECRET, VOLUME_SNAPSHOT_CLASS } from "../../src/operator/cluster/kinds.ts";
import { LABEL } from "../../src/operator/names.ts";
import { REPLICATION_SOURCE } from "../../src/operator/resources/replication-source.ts";
import { OperatorMetrics } from "../../src/operator/signals/metrics.ts";
import { readExposition, valueOf } from "./exposition.ts";
import {
  badEnd,
  NAME,
  NAMESPACE_NAME,
  putSecret,
  startFaultWorld,
  type FaultWorld,
} from "./fault-world.ts";

interface Trouble {
  readonly name: string;
  cause(world: FaultWorld): void;
  readonly reason: string;
  /** What a person must be able to read: what it is about, and what to do. */
  readonly says: readonly RegExp[];
  /** VolSync's own condition: `Error` when nothing can be begun, otherwise what it says with VolSync. */
  readonly synchronizing: "Error" | "SyncInProgress" | "WaitingForManual";
  /** The run counts as successful all the same, as with VolSync. */
  readonly isSuccess?: true;
}

function moverSays(code: string, message: string, hint: string, retryable = false) {
  return (world: FaultWorld): void => {
    for (let i = 0; i < 20; i++) {
      world.failNext((job) => badEnd(job, { code, message, hint, retryable }));
    }
  };
}

function restic({ objects }: FaultWorld["double"], fields: object): void {
  objects.update(REPLICATION_SOURCE, NAMESPACE_NAME, NAME, (source) => {
    Object.assign(source.spec.restic ?? {}, fields);
  });
}

const TROUBLES: readonly Trouble[] = [
  {
    name: "a wrong password",
    cause: moverSays("WRONG_PASSWORD", "no key of the repository opens", "Set RESTIC_PASSWORD"),
    reason: "WrongPassword",
    says: [/no key/, /RESTIC_PASSWORD/],
    synchronizing: "SyncInProgress",
  },
  {
    name: "a missing key",
    cause: (world) => putSecret(world, ""),
    reason: "SecretInvalid",
    says: [/restic-secret/, /RESTIC_PASSWORD/, /Add/],
    synchronizing: "Error",
  },
  {
    name: "a missing Secret",
    cause: ({ double }) => void double.objects.remove(SECRET, NAMESPACE_NAME, "restic-secret"),
    reason: "SecretInvalid",
    says: [/no Secret odoo\/restic-secret/, /Apply/],
    synchronizing: "Error",
  },
  {
    name: "a missing Secret of authorities",
    cause: ({ double }) =>
      restic(double, { customCA: { secretName: "authorities", key: "ca.crt" } }),
    reason: "SecretInvalid",
    says: [/customCA: there is no Secret odoo\/authorities/, /Apply/],
    synchronizing: "Error",
  },
  {
    name: "a key that a mounted Secret lacks",
    cause: ({ double }) =>
      restic(double, {
        moverVolumes: [
          {
            mountPath: "more",
            volumeSource: {
              secret: { secretName: "restic-secret", items: [{ key: "id", path: "id" }] },
            },
          },
        ],
      }),
    reason: "SecretInvalid",
    says: [/moverVolumes more: .* has no "id"/, /Add/],
    synchronizing: "Error",
  },
  {
    name: "a storage that nobody serves",
    cause: (world) => putSecret(world, "one", { RESTIC_REPOSITORY: "swift:container:/path" }),
    reason: "BackendUnsupported",
    says: [/swift/],
    synchronizing: "Error",
  },
  {
    name: "an empty volume",
    cause: (world) =>
      world.failNext((job) => {
        const problems = [
          {
            code: "SOURCE_EMPTY",
            message: "the volume is empty",
            hint: "See whether it is mounted",
          },
        ];
        const run = job.metadata.labels?.[LABEL.run];
        return { exit: 0, message: JSON.stringify({ v: 1, result: "ok", run, problems }) };
      }),
    reason: "SourceEmpty",
    says: [/empty/, /mounted/],
    synchronizing: "WaitingForManual",
    isSuccess: true,
  },
  {
    name: "a dead repository",
    cause: moverSays("STORAGE_UNAVAILABLE", "bucket: no answer", "Check the network", true),
    reason: "RepositoryUnreachable",
    says: [/no answer/, /network/],
    synchronizing: "SyncInProgress",
  },
  {
    name: "no snapshot class",
    cause: ({ double }) => void double.objects.remove(VOLUME_SNAPSHOT_CLASS, undefined, "ceph"),
    reason: "VolumeNotReady",
    says: [/VolumeSnapshotClass/, /played\.csi\.test|ceph/],
    synchronizing: "Error",
  },
  {
    name: "refused RBAC",
    cause: ({ double }) =>
      void double.fault(
        { verb: "create", kind: "Job" },
        {
          status: 403,
          message: 'jobs.batch is forbidden: User "holdfast" cannot create resource "jobs"',
        },
        { times: 1000 },
      ),
    reason: "ForbiddenByRBAC",
    says: [/cannot create/, /jobs/],
    synchronizing: "Error",
  },
  {
    name: "a mover without enough memory",
    cause: (world) => {
      for (let i = 0; i < 20; i++) world.failNext(() => ({ exit: 137, reason: "OOMKilled" }));
    },
    reason: "OutOfMemory",
    says: [/out of memory/, /moverResources/],
    synchronizing: "SyncInProgress",
  },
];

suite("seen at once", () => {
  for (const trouble of TROUBLES) {
    test(trouble.name, { timeout: 300_000 }, async (t) => {
      const world = await startFaultWorld(t);
      trouble.cause(world);
      world.begin();
      const problem = (): { reason: string; message: string; status: string } | undefined =>
        world.source()?.status?.conditions?.[1];
      // Informers may need a moment to begin; nothing here waits for a timer of the operator.
      await world.until(trouble.reason, () => problem()?.status === "True", 5000);
      assert.equal(problem()?.reason, trouble.reason, world.describe());
      const { message = "" } = problem() ?? {};
      for (const pattern of trouble.says) assert.match(message, pattern);
      await world.until(
        "the state",
        () => {
          return world.source()?.status?.conditions?.[0]?.reason === trouble.synchronizing;
        },
        5000,
      );
      await world.until("the event", () => world.events(trouble.reason).length > 0, 5000);
      const [event] = world.events(trouble.reason) as unknown as { note: string; type: string }[];
      assert.equal(event?.type, "Warning");
      for (const pattern of trouble.says) assert.match(event?.note ?? "", pattern);
      const metrics = new OperatorMetrics({ clock: world.clock });
      metrics.observeSource(world.source()!);
      const samples = readExposition(metrics.text());
      assert.equal(valueOf(samples, "holdfast_problem", { reason: trouble.reason }), 1);
      // Failures of a pod that the Job itself repeats are no failed run yet.
      if (trouble.synchronizing === "Error") assert.equal(valueOf(samples, "holdfast_failing"), 1);
      const result = world.source()?.status?.latestMoverStatus?.result;
      if (trouble.isSuccess) assert.equal(result, "Successful");
      else assert.notEqual(result, "Successful");
    });
  }
});
