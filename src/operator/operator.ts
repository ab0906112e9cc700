// The operator: watches, queues and reconcilers put together. What is watched says what is to be looked at; nothing is asked for at
// intervals but what has no watch (a Secret that is not good, while it is not).
//
// One process acts at a time. All that it must remember is in the resources, so another one goes on wherever this one was stopped.

import type { Clock, Random } from "../base/clock.ts";
import { isHoldfastError, messageOf, type HoldfastError } from "../base/errors.ts";
import { retry } from "../base/retry.ts";
import type { ClusterApi } from "./cluster/cluster-api.ts";
import { createEventRecorder } from "./cluster/event-recorder.ts";
import { VOLUME_SNAPSHOT } from "./cluster/kinds.ts";
import { keyOf, type KubeObject } from "./cluster/kube-object.ts";
import { runWithLease, VOLSYNC_LEASE, type LeaseDurations } from "./cluster/leader-election.ts";
import { WorkQueue } from "./cluster/work-queue.ts";
import type { EventRecorder, OperatorSettings } from "./context.ts";
import { reconcileDestination } from "./replication-destination.ts";
import { reconcileSource } from "./replication-source.ts";
import type { Looked } from "./reconcile/reconcile.ts";
import { MoverTurns } from "./reconcile/mover-turns.ts";
import { ReconcileMemory, type ReconcileContext } from "./reconcile/reconcile-context.ts";
import type { OperatorMetrics } from "./signals/metrics.ts";
import { claimsToPopulate, reconcilePopulated, registerPopulator } from "./volume-populator.ts";
import { onEveryChange, startWatching, type Watched } from "./watched.ts";

export interface OperatorOptions {
  readonly api: ClusterApi;
  readonly settings: OperatorSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly metrics: OperatorMetrics;
  /** This process, among others of its kind: the pod's name. */
  readonly instance: string;
  /** Absent or empty: all namespaces. */
  readonly namespaces?: readonly string[] | undefined;
  /** False: no lease; nobody else acts. */
  readonly leaderElection?: boolean;
  readonly leaseDurations?: LeaseDurations;
  /** A line for the log. */
  readonly onNotice: (notice: OperatorNotice) => void;
}

export interface OperatorNotice {
  readonly level: "info" | "warning";
  readonly message: string;
}

const CONTROLLER = "holdfast.dev/operator";
/** Resources that are looked at at once. */
const PARALLEL = 16;
const IDENTITY_BYTES = 8;
/** Milliseconds from one look to the next for a kind that is not there. */
const SNAPSHOTS_LOOK = 60_000;

/** Acts, whenever this process may, until the signal is aborted; then ends what it is in the middle of. Movers run on. */
export async function runOperator(options: OperatorOptions): Promise<void> {
  const { api, settings, clock, random, signal, metrics, instance, onNotice } = options;
  if (options.leaderElection === false) return await actUntil(options, signal);
  const suffix = Buffer.from(random(IDENTITY_BYTES)).toString("hex");
  const { leaseDurations: durations } = options;
  await runWithLease({
    api,
    clock,
    random,
    signal,
    namespace: settings.namespace,
    // VolSync's own: as long as it runs there, we wait.
    name: VOLSYNC_LEASE,
    identity: `${instance}_${suffix}`,
    lead: async (leading) => {
      metrics.leader = true;
      try {
        await actUntil(options, leading);
      } finally {
        metrics.leader = false;
      }
    },
    onError: (error) => {
      if (isHoldfastError(error, "CLUSTER_DENIED")) metrics.refused("leases", messageOf(error));
      onNotice({ level: "warning", message: `lease: ${withFix(error)}` });
    },
    onLeader: (identity) => {
      metrics.refused("leases", undefined);
      onNotice({ level: "info", message: `${identity} leads` });
    },
    ...(durations === undefined ? {} : { durations }),
  });
}

/** Acts until the signal; begins anew when the cluster has learnt of snapshots. */
async function actUntil(options: OperatorOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) await act(options, signal);
}

/** All the work of the one that acts, until the signal, or until it is to begin anew. */
async function act(options: OperatorOptions, leading: AbortSignal): Promise<void> {
  const { api, clock, random, instance, onNotice } = options;
  // An end for whatever reason ends the watches, too.
  const over = new AbortController();
  const signal = AbortSignal.any([leading, over.signal]);
  const warn: Warn = (what, error) =>
    onNotice({ level: "warning", message: `${what}: ${withFix(error)}` });
  const events = createEventRecorder({
    api,
    clock,
    random,
    controller: CONTROLLER,
    instance,
    signal,
    onError: (error) => warn("events", error),
  });
  const onRefused = (what: string, error: HoldfastError | undefined): void => {
    const isNews = options.metrics.refused(what, error && messageOf(error));
    if (!isNews) return;
    const message =
      error === undefined
        ? `${what}: may be read again`
        : `no right to read ${what}: nothing is backed up or restored until there is`;
    onNotice({ level: error === undefined ? "info" : "warning", message });
  };
  // Started while the API server is away, it waits for it.
  const watched = await retry(
    () => {
      const onError = (error: unknown): void => {
        options.metrics.watchFailed();
        warn("watch", error);
      };
      return startWatching({ ...options, signal, onError, onRefused });
    },
    {
      clock,
      random,
      signal,
      elapsedMax: Infinity,
      onRetry: ({ error }) => warn("start", error),
    },
  );
  const release: (() => void)[] = [];
  try {
    await watched.synced;
    const work = startWork({ options, watched, events, signal, warn });
    release.push(...work.release);
    await registerPopulator({ ...work.base, signal }).catch((error: unknown) =>
      warn("populator", error),
    );
    await (watched.hasSnapshots ? aborted(signal) : snapshotsServed(options, signal));
    over.abort();
    await Promise.all(work.queues.map((queue) => queue.idle()));
    await events.settled();
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    over.abort();
    for (const each of release) each();
    // Of what is not watched any more nothing is known.
    for (const what of options.metrics.refusals.keys()) options.metrics.refused(what, undefined);
    await watched.stopped;
  }
}

function withFix(error: unknown): string {
  const hint = isHoldfastError(error) ? error.hint : undefined;
  return hint === undefined ? messageOf(error) : `${messageOf(error)}. ${hint}`;
}

type Warn = (what: string, error: unknown) => void;

interface Setting {
  readonly options: OperatorOptions;
  readonly watched: Watched;
  readonly events: EventRecorder;
  readonly signal: AbortSignal;
  readonly warn: Warn;
}

interface StartedWork {
  readonly base: Omit<ReconcileContext, "signal">;
  readonly queues: readonly WorkQueue[];
  /** To be called when the work has ended. */
  readonly release: readonly (() => void)[];
}

/** Fills the queues with all there is, and from then on with what changes. */
function startWork(setting: Setting): StartedWork {
  const { options, watched, events } = setting;
  const { api, clock, random, settings, metrics, onNotice } = options;
  const { stores, sources, destinations } = watched;
  const memory = new ReconcileMemory();
  const turns = new MoverTurns({ max: settings.maxMovers ?? 0, jobs: stores.jobs });
  const known = { stores, sources, destinations, memory, turns };
  const base = { api, clock, random, events, settings, ...known };
  const queueOf = (
    name: string,
    look: (context: ReconcileContext, key: string) => Promise<Looked>,
  ): WorkQueue => startQueue(setting, name, (key, own) => look({ ...base, signal: own }, key));
  const queues = {
    source: queueOf("source", async (context, key) => {
      try {
        return await reconcileSource(context, key);
      } finally {
        turns.looked(key);
        wake();
      }
    }),
    destination: queueOf("destination", reconcileDestination),
    populator: queueOf("populator", reconcilePopulated),
  };
  const wake = (): void => {
    for (const key of turns.next()) queues.source.add(key);
  };
  onEveryChange(watched, (role, key) => queues[role].add(key));
  stores.jobs.onChange(wake);
  metrics.watchQueue("mover", () => turns.length);
  const populate = (changed: KubeObject): void => {
    for (const key of claimsToPopulate({ stores }, changed)) queues.populator.add(key);
  };
  for (const store of [stores.claims, stores.snapshots, destinations]) {
    store.onChange(({ before, after }) => populate((after ?? before)!));
  }
  const release = [metrics.follow("source", sources), metrics.follow("destination", destinations)];
  // Whoever leads next tells of them.
  release.push(() => {
    for (const source of sources.list()) metrics.forget("source", keyOf(source));
    for (const each of destinations.list()) metrics.forget("destination", keyOf(each));
  });
  for (const source of sources.list()) queues.source.add(keyOf(source));
  for (const destination of destinations.list()) queues.destination.add(keyOf(destination));
  for (const claim of stores.claims.list()) populate(claim);
  const counts = `${sources.list().length} sources and ${destinations.list().length} destinations`;
  onNotice({ level: "info", message: `watching ${counts}` });
  return { base, queues: Object.values(queues), release };
}

function startQueue(
  { options, signal, warn }: Setting,
  name: string,
  look: (key: string, signal: AbortSignal) => Promise<Looked>,
): WorkQueue {
  const { clock, random, metrics } = options;
  const queue = new WorkQueue({
    work: async (key, own) => {
      const began = clock.monotonic();
      let failed = true;
      try {
        const looked = await look(key, own);
        failed = false;
        return looked;
      } finally {
        metrics.reconciled(name, clock.monotonic() - began, failed);
      }
    },
    parallel: PARALLEL,
    clock,
    random,
    signal,
    onError: ({ key, error }) => warn(`${name} ${key}`, error),
  });
  metrics.watchQueue(name, () => queue.length);
  return queue;
}

/** Waits until the cluster knows snapshots: their CRDs are often installed after us. */
async function snapshotsServed(
  { api, clock }: Pick<OperatorOptions, "api" | "clock">,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await clock.sleep(SNAPSHOTS_LOOK, signal).catch(() => {});
    if (signal.aborted) return;
    if (await api.serves(VOLUME_SNAPSHOT, { signal }).catch(() => false)) return;
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
}
