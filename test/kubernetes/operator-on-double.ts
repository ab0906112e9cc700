// The operator, in this process, on the API server in memory: what tests of its reconcilers need. Its clock is the test's, and moves
// only when the test says so; nothing sleeps.

import type { Clock } from "../../src/base/clock.ts";
import type { ApiClient } from "../../src/operator/cluster/api-client.ts";
import { CLAIM, kind, SECRET, type Kind } from "../../src/operator/cluster/kinds.ts";
import type { KubeObject } from "../../src/operator/cluster/kube-object.ts";
import type { OperatorSettings } from "../../src/operator/context.ts";
import { EXTERNAL, VOLSYNC_API_VERSION } from "../../src/operator/names.ts";
import type { MoverVerdict } from "../../src/operator/mover-verdict.ts";
import {
  runOperator,
  type OperatorNotice,
  type OperatorOptions,
} from "../../src/operator/operator.ts";
import { allCrds } from "../../src/operator/resources/crds.ts";
import {
  REPLICATION_DESTINATION,
  type ReplicationDestination,
  type ReplicationDestinationSpec,
} from "../../src/operator/resources/replication-destination.ts";
import {
  REPLICATION_SOURCE,
  type ReplicationSource,
  type ReplicationSourceSpec,
} from "../../src/operator/resources/replication-source.ts";
import type { RunPlan } from "../../src/operator/run-plan.ts";
import { OperatorMetrics } from "../../src/operator/signals/metrics.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { startApiDouble, type ApiDouble, type ApiDoubleOptions } from "./api-double.ts";
import type { JobScript, PodEnd } from "./api-double/played-controllers.ts";

export const NAMESPACE = "business-system";
export const START: number = Date.UTC(2026, 10, 26, 10, 0, 0);

/** A clock that a test moves. Sleeps end when the time has come. */
export class MovedClock implements Clock {
  #now: number;
  readonly #sleeps = new Set<{ readonly at: number; readonly wake: () => void }>();

  constructor(now: number = START) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  nowNanoseconds(): bigint {
    return BigInt(Math.round(this.#now * 1e6));
  }

  monotonic(): number {
    return this.#now;
  }

  async sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) throw signal.reason;
    await new Promise<void>((resolve, reject) => {
      const sleep = {
        at: this.#now + milliseconds,
        wake: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      const onAbort = (): void => {
        this.#sleeps.delete(sleep);
        reject(signal?.reason as Error);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#sleeps.add(sleep);
    });
  }

  /** Time goes by; whoever has slept long enough wakes. */
  advance(milliseconds: number): void {
    this.#now += milliseconds;
    for (const sleep of [...this.#sleeps].toSorted((a, b) => a.at - b.at)) {
      if (sleep.at > this.#now) continue;
      this.#sleeps.delete(sleep);
      sleep.wake();
    }
  }
}

export interface OnDoubleOptions {
  readonly double?: ApiDoubleOptions;
  /** False: the test starts the operator itself, when things are as it wants them. */
  readonly start?: boolean;
  readonly operator?: Partial<OperatorOptions>;
  readonly settings?: Partial<OperatorSettings>;
  /** Where the double knows users: the token of who may do everything. */
  readonly adminToken?: string;
}

/** One running operator. */
export interface RunningOperator {
  /** Ends it well, as a signal would. */
  stop(): Promise<void>;
}

export class OperatorOnDouble {
  readonly double: ApiDouble;
  readonly clock: MovedClock;
  readonly metrics: OperatorMetrics;
  readonly notices: OperatorNotice[] = [];
  readonly #options: OnDoubleOptions;
  readonly #running = new Set<RunningOperator>();
  /** Pauses are as long in every run of the tests, and names differ all the same. */
  #drawn = 0;

  constructor(double: ApiDouble, clock: MovedClock, options: OnDoubleOptions) {
    this.double = double;
    this.clock = clock;
    this.metrics = new OperatorMetrics({ clock });
    this.#options = options;
  }

  /** Starts an operator; several may run at once. */
  operator(more: Partial<OperatorOptions> = {}): RunningOperator {
    const stop = new AbortController();
    const settings: OperatorSettings = {
      image: "registry.example.org/holdfast:test",
      namespace: "volsync-system",
      proxyVariables: {},
      defaultMode: "compat",
      ...this.#options.settings,
    };
    const done = runOperator({
      api: this.double.api(),
      settings,
      clock: this.clock,
      random: (length) => seededBytes(`drawn ${this.#drawn++}`, length),
      signal: stop.signal,
      metrics: this.metrics,
      instance: "operator-0",
      leaderElection: false,
      onNotice: (notice) => this.notices.push(notice),
      ...this.#options.operator,
      ...more,
    });
    const running: RunningOperator = {
      stop: async () => {
        stop.abort();
        this.#running.delete(running);
        await done.catch(() => {});
      },
    };
    this.#running.add(running);
    return running;
  }

  /** Waits until nothing happens any more at this moment of the clock. */
  async quiet(): Promise<void> {
    await this.double.quiet(60);
  }

  /** Moves the clock on, and waits until what was due has been done. */
  async after(milliseconds: number): Promise<void> {
    this.clock.advance(milliseconds);
    await this.quiet();
  }

  async close(): Promise<void> {
    for (const running of this.#running) await running.stop();
    await this.double.close();
  }

  /** A bound claim. */
  claim(name: string, more: { readonly spec?: object } = {}): void {
    this.double.objects.put(CLAIM, {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name, namespace: NAMESPACE },
      spec: {
        accessModes: ["ReadWriteOnce"],
        storageClassName: "fast",
        volumeName: `pv-${name}`,
        resources: { requests: { storage: "1Gi" } },
        ...more.spec,
      },
      status: { phase: "Bound", capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"] },
    });
  }

  secret(name: string, data: Record<string, string> = {}): void {
    const all = { RESTIC_REPOSITORY: "gs:bucket:/path", RESTIC_PASSWORD: "x", ...data };
    const encoded = Object.entries(all).map(([key, value]) => [
      key,
      Buffer.from(value).toString("base64"),
    ]);
    const metadata = { name, namespace: NAMESPACE };
    const secret = {
      apiVersion: "v1",
      kind: "Secret",
      metadata,
      data: Object.fromEntries(encoded) as Record<string, string>,
    };
    if (this.double.objects.get(SECRET, NAMESPACE, name) === undefined) {
      this.double.objects.put(SECRET, secret);
    } else {
      this.double.objects.update(SECRET, NAMESPACE, name, (known) => {
        known.data = secret.data;
      });
    }
  }

  /** Creates a source of the claim `data`, backed up directly with the Secret `restic`, unless `spec` says otherwise. */
  async source(
    name: string,
    spec: ReplicationSourceSpec = {},
    annotations: Record<string, string> = {},
  ): Promise<void> {
    await this.#admin().create(REPLICATION_SOURCE, {
      apiVersion: VOLSYNC_API_VERSION,
      kind: "ReplicationSource",
      metadata: { name, namespace: NAMESPACE, annotations },
      spec: {
        sourcePVC: "data",
        trigger: { manual: "first" },
        restic: { repository: "restic", copyMethod: "Direct" },
        ...spec,
      },
    });
  }

  async destination(
    name: string,
    spec: ReplicationDestinationSpec = {},
    annotations: Record<string, string> = {},
  ): Promise<void> {
    await this.#admin().create(REPLICATION_DESTINATION, {
      apiVersion: VOLSYNC_API_VERSION,
      kind: "ReplicationDestination",
      metadata: { name, namespace: NAMESPACE, annotations },
      spec: {
        trigger: { manual: "restore-once" },
        restic: { repository: "restic", copyMethod: "Direct", destinationPVC: "data" },
        ...spec,
      },
    });
  }

  sourceNow(name: string): ReplicationSource {
    return this.#now(REPLICATION_SOURCE, name);
  }

  destinationNow(name: string): ReplicationDestination {
    return this.#now(REPLICATION_DESTINATION, name);
  }

  #admin(): ApiClient {
    return this.double.api(this.#options.adminToken);
  }

  #now<T extends KubeObject>(of: Kind<T>, name: string): T {
    const found = this.double.objects.get(of, NAMESPACE, name);
    if (found === undefined) throw new Error(`${of.kind} ${name} is not there`);
    return found;
  }

  /** Changes it as `kubectl` would: a patch of the spec or of annotations. */
  async patch(of: Kind, name: string, patch: object): Promise<void> {
    await this.#admin().patch(of, { namespace: NAMESPACE, name }, patch, { type: "merge" });
  }

  /** `reason: note` of all events, oldest first. */
  events(): string[] {
    return this.double.objects
      .list(EVENT, NAMESPACE)
      .map((event) => `${event.reason}: ${event.note}`);
  }

  /** `Synchronizing=True/SyncInProgress`, and so on, in their order. */
  static conditions({ status }: ReplicationSource | ReplicationDestination): string[] {
    return (status?.conditions ?? []).map((each) => `${each.type}=${each.status}/${each.reason}`);
  }
}

interface EventObject extends KubeObject {
  reason: string;
  note: string;
}

const EVENT: Kind<EventObject> = kind("events.k8s.io/v1", "Event", "events");

/** Starts a double with VolSync's kinds, the claim `data` and the Secret `restic`, and an operator on it. */
export async function startOnDouble(options: OnDoubleOptions = {}): Promise<OperatorOnDouble> {
  const clock = new MovedClock();
  const double = await startApiDouble({
    namespaces: [NAMESPACE, "volsync-system"],
    crds: allCrds(),
    clock,
    ...options.double,
  });
  const on = new OperatorOnDouble(double, clock, options);
  on.claim("data");
  on.secret("restic");
  double.play.boundClaims();
  double.play.readySnapshots();
  if (options.start !== false) on.operator();
  await on.quiet();
  return on;
}

/** The id of the run that a Job is of. */
export function runOf(job: Parameters<JobScript>[0]): string {
  return job.metadata.labels?.["holdfast.dev/run"] ?? "";
}

/** How a mover ends that did what it was for. */
export function success(job: Parameters<JobScript>[0], more: Partial<MoverVerdict> = {}): PodEnd {
  const verdict: MoverVerdict = {
    v: 1,
    result: "ok",
    run: runOf(job),
    snapshot: "ab".repeat(32),
    files: 3,
    bytes: 4096,
    ...more,
  };
  return {
    exit: 0,
    message: JSON.stringify(verdict),
    log: "processed 3 files, 4 KiB in 0:00\nsnapshot abababab saved\nRestic completed in 1s\n",
  };
}

/** How a mover ends that failed; `lasting`: the Job is not to try again. */
export function failure(
  job: Parameters<JobScript>[0],
  problem: NonNullable<MoverVerdict["problems"]>[number],
  { lasting = true, ...more }: Partial<MoverVerdict> & { lasting?: boolean } = {},
): PodEnd {
  const verdict = { v: 1, result: "failed", run: runOf(job), problems: [problem], ...more };
  return {
    exit: lasting ? 78 : 75,
    message: JSON.stringify(verdict),
    log: `Fatal: ${problem.message}\n`,
  };
}

/** The plan of the run under way. */
export function planOf({
  status,
}: ReplicationSource | ReplicationDestination): RunPlan | undefined {
  const text = status?.external?.[EXTERNAL.run];
  return text === undefined ? undefined : (JSON.parse(text) as RunPlan);
}
