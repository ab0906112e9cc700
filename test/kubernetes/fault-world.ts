// A world for tests of faults: an API server in memory, controllers that are played, a clock moved by hand, operators that are
// killed and begun anew, and a count of what movers really did. It knows nothing of how the operator works; it judges by outcome.

import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { Random } from "../../src/base/clock.ts";
import { HoldfastError } from "../../src/base/errors.ts";
import {
  CLAIM,
  EVENT,
  JOB,
  POD,
  SECRET,
  STORAGE_CLASS,
  VOLUME_SNAPSHOT,
  VOLUME_SNAPSHOT_CLASS,
} from "../../src/operator/cluster/kinds.ts";
import type { Kind } from "../../src/operator/cluster/kinds.ts";
import type { Job, KubeObject } from "../../src/operator/cluster/kube-object.ts";
import { LABEL } from "../../src/operator/names.ts";
import { MOVER_EXIT } from "../../src/operator/mover-variables.ts";
import { runOperator } from "../../src/operator/operator.ts";
import { OperatorMetrics } from "../../src/operator/signals/metrics.ts";
import { allCrds } from "../../src/operator/resources/crds.ts";
import {
  REPLICATION_DESTINATION,
  type ReplicationDestination,
} from "../../src/operator/resources/replication-destination.ts";
import {
  REPLICATION_SOURCE,
  type ReplicationSource,
} from "../../src/operator/resources/replication-source.ts";
import { FakeClock } from "../fake-clock.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { startApiDouble, type ApiDouble } from "./api-double.ts";
import type { PodEnd } from "./api-double/played-controllers.ts";

export const NAMESPACE_NAME = "odoo";
export const NAME = "files";
export const CLAIM_NAME = "odoo-filestore";
export const SNAPSHOT_ID: string = "5a".repeat(32);

/** Turns of the event loop in which an answer gets from one end of a connection to the other. */
const TURNS = 12;
/** So many without rest are an operator that does the same again and again. */
const TURNS_MAX = 10_000;

/** A mover's pod that was started, and how it is told to end. */
export interface Mover {
  readonly job: Job;
  readonly pod: string;
  /** It has not been told how to end. */
  isOpen: boolean;
  end(end: PodEnd): void;
}

export class FaultWorld {
  readonly clock: FakeClock = new FakeClock();
  readonly double: ApiDouble;
  /** Every pod of a mover, oldest first. */
  readonly movers: Mover[] = [];
  /** UIDs of Jobs whose mover ended well. */
  readonly succeeded: string[] = [];
  /** False: movers wait to be told how they end. */
  answers = true;
  /** How the next movers end, before they end well. */
  readonly #failures: ((job: Job) => PodEnd)[] = [];
  readonly logged: string[] = [];
  readonly #seed: number;
  readonly #operators: { readonly stop: AbortController; readonly ended: Promise<unknown> }[] = [];
  #begun = 0;

  constructor(double: ApiDouble, clock: FakeClock, seed: number) {
    this.double = double;
    this.clock = clock;
    this.#seed = seed;
    double.play.jobPods((job, pod) => this.#startMover(job, pod.metadata.name));
  }

  #startMover(job: Job, pod: string): Promise<PodEnd> {
    return new Promise((resolve) => {
      const mover: Mover = {
        job,
        pod,
        isOpen: true,
        end: (end) => {
          if (!mover.isOpen) return;
          mover.isOpen = false;
          const isThere = this.double.objects.get(POD, NAMESPACE_NAME, pod) !== undefined;
          if (end.exit === 0 && isThere) this.succeeded.push(job.metadata.uid!);
          resolve(end);
        },
      };
      this.movers.push(mover);
      if (this.answers) mover.end(this.#failures.shift()?.(job) ?? wellEnd(job));
    });
  }

  /** The next mover ends so, and not well. */
  failNext(end: (job: Job) => PodEnd): void {
    this.#failures.push(end);
  }

  /** Ends every mover that waits, and all that come, well. */
  letMoversEnd(): void {
    this.answers = true;
    for (const mover of this.movers) if (mover.isOpen) mover.end(wellEnd(mover.job));
  }

  /** Operators that were started. */
  get begun(): number {
    return this.#begun;
  }

  /** Starts an operator; it may be the second one. */
  begin(options: { readonly lease?: boolean } = {}): void {
    const stop = new AbortController();
    const number = ++this.#begun;
    const ended = runOperator({
      api: this.double.api(),
      settings: {
        image: "holdfast:test",
        namespace: "volsync-system",
        proxyVariables: {},
        defaultMode: "compat",
      },
      clock: this.clock,
      random: randomOf(`${this.#seed}/${number}`),
      instance: `operator-${number}`,
      leaderElection: options.lease ?? false,
      metrics: new OperatorMetrics({ clock: this.clock }),
      onNotice: ({ message }) => void this.logged.push(`${number}: ${message}`),
      signal: stop.signal,
    }).catch((error: unknown) => {
      if (!stop.signal.aborted) this.logged.push(`${number} ended: ${String(error)}`);
    });
    this.#operators.push({ stop, ended });
  }

  /** Kills the oldest operator: what it had under way is not waited for by anybody. */
  kill(): void {
    const operator = this.#operators.shift();
    operator?.stop.abort(new HoldfastError("CANCELLED", "killed"));
  }

  async close(): Promise<void> {
    const running = this.#operators.splice(0);
    for (const { stop } of running) stop.abort(new HoldfastError("CANCELLED", "the end"));
    this.double.clearFaults();
    await this.double.close();
  }

  /** Lets `milliseconds` pass in steps, the cluster coming to rest after each one. */
  async pass(milliseconds: number, step = 1000): Promise<void> {
    for (let passed = 0; passed < milliseconds; passed += step) {
      await this.#rest();
      await this.clock.advance(step);
    }
    await this.#rest();
  }

  /** Lets time pass until `holds`, and no longer than `most` (milliseconds of the played clock). */
  async until(what: string, holds: () => boolean, most: number = 3 * 3_600_000): Promise<void> {
    let step = 500;
    for (let passed = 0; ; passed += step) {
      await this.#rest();
      if (holds()) return;
      if (passed > most) assert.fail(`${what} has not come: ${this.describe()}`);
      // Long waits are backoffs and schedules: they need not be walked through by the second.
      step = passed < 60_000 ? 500 : 15_000;
      await this.clock.advance(step);
    }
  }

  /** Nobody has asked or written anything for some turns; a call that is held back is not waited for. */
  async #rest(): Promise<void> {
    for (let calm = 0, seen = -1, turns = 0; calm < TURNS; turns++) {
      if (turns > TURNS_MAX) assert.fail(`the cluster does not come to rest: ${this.describe()}`);
      await turn();
      const mark = this.double.calls.length + this.double.revision;
      calm = mark === seen ? calm + 1 : 0;
      seen = mark;
    }
  }

  source(): ReplicationSource | undefined {
    return this.double.objects.get(REPLICATION_SOURCE, NAMESPACE_NAME, NAME);
  }

  destination(): ReplicationDestination | undefined {
    return this.double.objects.get(REPLICATION_DESTINATION, NAMESPACE_NAME, NAME);
  }

  resource(): ReplicationSource | ReplicationDestination | undefined {
    return this.source() ?? this.destination();
  }

  /** What is left of runs: nothing of these may outlive one. */
  remains(): string[] {
    const uid = this.resource()?.metadata.uid;
    const isTemporary = ({ metadata }: KubeObject): boolean =>
      metadata.labels?.[LABEL.cleanup] !== undefined &&
      (uid === undefined || metadata.labels[LABEL.cleanup] === uid);
    return ([JOB, CLAIM, VOLUME_SNAPSHOT] as Kind[]).flatMap((kind: Kind) =>
      this.double.objects
        .list<KubeObject>(kind, NAMESPACE_NAME)
        .filter(isTemporary)
        .map(({ metadata }) => `${kind.kind}/${metadata.name}`),
    );
  }

  /** All that a person would want to know of a test that failed. */
  describe(): string {
    const jobs = this.double.objects
      .list(JOB)
      .map(({ metadata, status }) => `${metadata.name} ${JSON.stringify(status)}`);
    return [
      `status: ${JSON.stringify(this.resource()?.status, undefined, 1)}`,
      `jobs: ${jobs.join("; ")}`,
      `remains: ${this.remains().join(", ")}`,
      `movers: ${this.movers.length}, well: ${this.succeeded.length}`,
      `last words: ${this.logged.slice(-5).join(" | ")}`,
    ].join("\n");
  }

  events(reason: string): KubeObject[] {
    return this.double.objects
      .list(EVENT, NAMESPACE_NAME)
      .filter((event) => (event as KubeObject & { reason?: string }).reason === reason);
  }
}

/** What a mover says that did its work. */
export function wellEnd(job: Job): PodEnd {
  const run = job.metadata.labels?.[LABEL.run];
  const verdict = {
    v: 1,
    result: "ok",
    run,
    snapshot: SNAPSHOT_ID,
    pointInTime: "2026-01-02T03:04:05Z",
    files: 3,
    bytes: 300,
    added: 30,
    snapshots: 1,
  };
  return { exit: 0, message: JSON.stringify(verdict), log: "Restic completed in 1s\n" };
}

/** What one says that failed; `retryable` decides the exit status, too. */
export function badEnd(
  job: Job | undefined,
  problem: {
    readonly code: string;
    readonly message: string;
    readonly hint?: string;
    readonly retryable: boolean;
  },
): PodEnd {
  const run = job?.metadata.labels?.[LABEL.run];
  const verdict = { v: 1, result: "failed", run, problems: [problem] };
  return {
    exit: problem.retryable ? MOVER_EXIT.again : MOVER_EXIT.ended,
    message: JSON.stringify(verdict),
  };
}

export interface WorldOptions {
  readonly seed?: number;
  readonly role?: "source" | "destination";
  readonly copyMethod?: "Direct" | "Snapshot" | "Clone";
  /** False: claims stay unbound, or snapshots unready, until somebody plays them. */
  readonly binds?: boolean;
  readonly snaps?: boolean;
}

/** A cluster with a claim, a Secret, classes, and one resource; no operator yet. */
export async function startFaultWorld(
  t: TestContext,
  {
    seed = 1,
    role = "source",
    copyMethod = "Snapshot",
    binds = true,
    snaps = true,
  }: WorldOptions = {},
): Promise<FaultWorld> {
  const clock = new FakeClock();
  const namespaces = [NAMESPACE_NAME, "volsync-system"];
  const double = await startApiDouble({ namespaces, crds: allCrds(), clock });
  const world = new FaultWorld(double, clock, seed);
  t.after(() => world.close());
  const { objects, play } = double;
  objects.put(STORAGE_CLASS, {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: {
      name: "ceph",
      annotations: { "storageclass.kubernetes.io/is-default-class": "true" },
    },
    provisioner: "played.csi.test",
  });
  objects.put(VOLUME_SNAPSHOT_CLASS, {
    apiVersion: "snapshot.storage.k8s.io/v1",
    kind: "VolumeSnapshotClass",
    metadata: {
      name: "ceph",
      annotations: { "snapshot.storage.kubernetes.io/is-default-class": "true" },
    },
    driver: "played.csi.test",
    deletionPolicy: "Delete",
  });
  putSecret(world, "one");
  const claimed = play.boundClaims({ when: ({ metadata }) => metadata.name === CLAIM_NAME });
  objects.put(CLAIM, {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name: CLAIM_NAME, namespace: NAMESPACE_NAME },
    spec: {
      accessModes: ["ReadWriteOnce"],
      storageClassName: "ceph",
      resources: { requests: { storage: "1Gi" } },
    },
  });
  await double.quiet(5);
  claimed();
  if (binds) play.boundClaims();
  if (snaps) play.readySnapshots();
  const metadata = { name: NAME, namespace: NAMESPACE_NAME };
  const restic = { repository: "restic-secret", copyMethod, cacheCapacity: "1Gi" };
  const trigger = { manual: "one" };
  const apiVersion = "volsync.backube/v1alpha1";
  if (role === "source") {
    const spec = { sourcePVC: CLAIM_NAME, trigger, restic: { ...restic, retain: { daily: 7 } } };
    await double
      .api()
      .create(REPLICATION_SOURCE, { apiVersion, kind: "ReplicationSource", metadata, spec });
  } else {
    const spec = { trigger, restic: { ...restic, destinationPVC: CLAIM_NAME } };
    await double.api().create(REPLICATION_DESTINATION, {
      apiVersion,
      kind: "ReplicationDestination",
      metadata,
      spec,
    });
  }
  return world;
}

/** The repository's Secret; `password` tells one from another. */
export function putSecret({ double }: FaultWorld, password: string, keys: object = {}): void {
  const data = Object.entries({
    RESTIC_REPOSITORY: "gs:bucket:/files",
    RESTIC_PASSWORD: password,
    ...keys,
  }).map(([key, value]) => [key, Buffer.from(String(value)).toString("base64")]);
  double.objects.put(SECRET, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "restic-secret", namespace: NAMESPACE_NAME },
    data: Object.fromEntries(data) as Record<string, string>,
  });
}

/** Random bytes that are the same for the same seed. */
function randomOf(seed: string): Random {
  let drawn = 0;
  return (length) => seededBytes(`${seed}/${drawn++}`, length);
}
