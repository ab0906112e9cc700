// The operator's metrics as one text, made when it is asked for. VolSync's three names are here without what was wrong with them:
// they are recomputed from the resources' status, vanish with the resource, and do not call a destination out of sync that nobody
// promised to restore. Labels of resources are VolSync's, on our own metrics too, so that both can be joined.

import type { Clock } from "../../base/clock.ts";
import { keyOf, type KubeObject } from "../cluster/kube-object.ts";
import type { Store } from "../cluster/store.ts";
import type { Role } from "../names.ts";
import { familyText, type Sample } from "./metric-text.ts";
import { RESOURCE_FAMILIES } from "./resource-families.ts";
import { ResourceRecord, type SignalledResource } from "./resource-record.ts";

export interface MetricsOptions {
  readonly clock: Clock;
  readonly version?: string;
  /** What the process uses; given by who may look at it. */
  readonly processUse?: () => { readonly residentBytes: number; readonly cpuSeconds: number };
}

/** Upper bounds of histograms, in seconds. */
const BUCKETS: readonly number[] = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 2, 5, 15, 60];

export class OperatorMetrics {
  readonly #clock: Clock;
  readonly #options: MetricsOptions;
  readonly #records: Record<Role, Map<string, ResourceRecord>> = {
    source: new Map(),
    destination: new Map(),
  };
  readonly #depths = new Map<string, () => number>();
  readonly #reconciles = new Map<string, Histogram>();
  readonly #reconcileErrors = new Map<string, number>();
  #watchFailures = 0;
  /** What the cluster does not let us read, and what it says. */
  readonly #refused = new Map<string, string>();
  #leader = false;

  constructor(options: MetricsOptions) {
    this.#clock = options.clock;
    this.#options = options;
  }

  observeSource(source: SignalledResource): void {
    this.#observe("source", source);
  }

  observeDestination(destination: SignalledResource): void {
    this.#observe("destination", destination);
  }

  /** The resource is gone: its series go with it. `key` is `namespace/name`. */
  forget(role: Role, key: string): void {
    this.#records[role].delete(key);
  }

  /**
   * Observes and forgets what a store has. The result ends that, and the role's series: a process that acts no more says nothing
   * of resources that another one looks after.
   */
  follow<T extends KubeObject>(role: Role, store: Store<T>): () => void {
    for (const resource of store.list()) this.#observe(role, resource as SignalledResource);
    const stop = store.onChange(({ before, after }) => {
      if (after) {
        // A successor of the same name is another resource.
        if (before && before.metadata.uid !== after.metadata.uid) this.forget(role, keyOf(before));
        this.#observe(role, after as SignalledResource);
      } else if (before) {
        this.forget(role, keyOf(before));
      }
    });
    return () => {
      stop();
      this.#records[role].clear();
    };
  }

  /** Whether this process is the one that acts. */
  set leader(leads: boolean) {
    this.#leader = leads;
  }

  /** `read` tells how many keys wait, whenever metrics are asked for. */
  watchQueue(queue: string, read: () => number): void {
    this.#depths.set(queue, read);
  }

  /** A reconcile took `milliseconds`, and failed or not. */
  reconciled(queue: string, milliseconds: number, failed: boolean): void {
    histogramOf(this.#reconciles, queue).add(milliseconds / 1000);
    this.#reconcileErrors.set(queue, (this.#reconcileErrors.get(queue) ?? 0) + (failed ? 1 : 0));
  }

  /** A watch, or a list before one, failed; it goes on by itself. */
  watchFailed(): void {
    this.#watchFailures += 1;
  }

  /** The cluster does not let us read `what`, in its words; undefined: it does. True when that is news. */
  refused(what: string, why: string | undefined): boolean {
    if (why === undefined) return this.#refused.delete(what);
    const isNews = !this.#refused.has(what);
    this.#refused.set(what, why);
    return isNews;
  }

  /** What we may not read, each with the cluster's words. Nothing is done until there is none. */
  get refusals(): ReadonlyMap<string, string> {
    return this.#refused;
  }

  /** All of it, in Prometheus' text format. */
  text(): string {
    return [...this.#resourceTexts(), ...this.#operatorTexts()].join("");
  }

  #observe(role: Role, resource: SignalledResource): void {
    const records = this.#records[role];
    const key = keyOf(resource);
    if (!isOurs(resource)) {
      records.delete(key);
      return;
    }
    let record = records.get(key);
    if (record === undefined) records.set(key, (record = new ResourceRecord(role, resource)));
    record.observe(resource);
  }

  *#resourceTexts(): Iterable<string> {
    const now = this.#clock.now();
    const records = [...this.#records.source.values(), ...this.#records.destination.values()];
    for (const { samples, ...family } of RESOURCE_FAMILIES) {
      const all: Sample[] = [];
      for (const record of records) {
        for (const { labels, ...sample } of samples(record, now)) {
          all.push({ labels: labels ? { ...record.labels, ...labels } : record.labels, ...sample });
        }
      }
      yield familyText(family, all);
    }
  }

  *#operatorTexts(): Iterable<string> {
    const gauge = (name: string, help: string, samples: Sample[]): string =>
      familyText({ name, help, type: "gauge" }, samples);
    const counter = (name: string, help: string, samples: Sample[]): string =>
      familyText({ name, help, type: "counter" }, samples);
    yield gauge("holdfast_operator_leader", "1 in the process that acts, 0 in those that wait.", [
      { value: this.#leader ? 1 : 0 },
    ]);
    yield gauge("holdfast_operator_info", "Always 1; the label says which version runs.", [
      { labels: { version: this.#options.version ?? "unknown" }, value: 1 },
    ]);
    const depths = [...this.#depths].map(([queue, read]) => ({ labels: { queue }, value: read() }));
    yield gauge("holdfast_workqueue_depth", "Resources that wait to be looked at.", depths);
    yield familyText(
      {
        name: "holdfast_reconcile_seconds",
        help: "Seconds that one look at a resource took.",
        type: "histogram",
      },
      histogramSamples(this.#reconciles),
    );
    yield counter(
      "holdfast_reconcile_errors_total",
      "Looks at a resource that ended with an error, and were repeated.",
      countSamples("queue", this.#reconcileErrors),
    );
    yield counter("holdfast_watch_failures_total", "Watches and lists that failed.", [
      { value: this.#watchFailures },
    ]);
    yield gauge(
      "holdfast_watch_refused",
      "1 for what the operator has no right to read: nothing is backed up until it has.",
      [...this.#refused.keys()].map((what) => ({ labels: { what }, value: 1 })),
    );
    const use = this.#options.processUse?.();
    if (use === undefined) return;
    yield gauge("process_resident_memory_bytes", "Resident memory size in bytes.", [
      { value: use.residentBytes },
    ]);
    yield counter("process_cpu_seconds_total", "User and system CPU time spent in seconds.", [
      { value: use.cpuSeconds },
    ]);
  }
}

/** Resources of other movers, and those that VolSync leaves to others, have no series: we do nothing for them. */
function isOurs({ spec }: SignalledResource): boolean {
  return spec?.restic !== undefined && spec.restic !== null;
}

function countSamples(label: string, counts: ReadonlyMap<string, number>): Sample[] {
  return [...counts].map(([name, value]) => ({ labels: { [label]: name }, value }));
}

class Histogram {
  readonly counts: number[] = BUCKETS.map(() => 0);
  count = 0;
  sum = 0;

  add(seconds: number): void {
    this.count += 1;
    this.sum += seconds;
    for (const [i, bound] of BUCKETS.entries()) if (seconds <= bound) this.counts[i]! += 1;
  }
}

function histogramOf(histograms: Map<string, Histogram>, queue: string): Histogram {
  let histogram = histograms.get(queue);
  if (histogram === undefined) histograms.set(queue, (histogram = new Histogram()));
  return histogram;
}

function histogramSamples(histograms: ReadonlyMap<string, Histogram>): Sample[] {
  return [...histograms].flatMap(([queue, { counts, count, sum }]): Sample[] => [
    ...BUCKETS.map((bound, i): Sample => {
      return { suffix: "_bucket", labels: { queue, le: String(bound) }, value: counts[i]! };
    }),
    { suffix: "_bucket", labels: { queue, le: "+Inf" }, value: count },
    { suffix: "_sum", labels: { queue }, value: sum },
    { suffix: "_count", labels: { queue }, value: count },
  ]);
}
