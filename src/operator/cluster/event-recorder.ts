// The EventRecorder: Events of events.k8s.io/v1, which `kubectl describe` and `kubectl events` show.
//
// The same again becomes a count in one Event (its series), written at most once a minute. An object gets a burst of 25 and then one
// in five minutes; more is dropped, so a resource that fails over and over cannot fill etcd. Nobody waits for an Event, and one that
// cannot be written is dropped after a word to `onError`.

import type { Clock, Random } from "../../base/clock.ts";
import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { EventRecorder } from "../context.ts";
import type { ClusterApi } from "./cluster-api.ts";
import { EVENT } from "./kinds.ts";
import type { KubeObject } from "./kube-object.ts";
import { microTime } from "./micro-time.ts";

export interface EventRecorderOptions {
  readonly api: ClusterApi;
  readonly clock: Clock;
  readonly random: Random;
  /** Who reports: `holdfast.dev/operator`. */
  readonly controller: string;
  /** Which one of them: the pod's name. */
  readonly instance: string;
  readonly signal: AbortSignal;
  readonly onError: (error: unknown) => void;
}

export interface RunningEventRecorder extends EventRecorder {
  /** Resolves when everything recorded so far is written or dropped. */
  settled(): Promise<void>;
}

type RecordedEvent = Parameters<EventRecorder["record"]>[0];

interface Series {
  readonly place: { readonly namespace: string; readonly name: string };
  count: number;
  /** When it was written last, and when it happened last, by the monotonic clock. */
  written: number;
  last: number;
}

const NOTE_BYTES = 1024;
const WORD_BYTES = 128;
/** The same after so long is news again. */
const SERIES_MAX = 6 * 60_000;
const SERIES_WRITE = 60_000;
/** Different things that are remembered. */
const KNOWN_MAX = 2000;
/** Events that wait to be written. */
const WAITING_MAX = 1000;
const BURST = 25;
const REFILL = 5 * 60_000;
/** Names of Events end in this much chance. */
const SUFFIX_BYTES = 8;
const NAME_MAX = 253;

/** Starts a recorder. */
export function createEventRecorder(options: EventRecorderOptions): RunningEventRecorder {
  return new Recorder(options);
}

class Recorder implements RunningEventRecorder {
  readonly #options: EventRecorderOptions;
  /** Oldest first. */
  readonly #series = new Map<string, Series>();
  readonly #allowances = new Map<string, { left: number; at: number }>();
  #line: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  record(event: RecordedEvent): void {
    const { clock, signal, onError } = this.#options;
    if (signal.aborted) return;
    const now = clock.monotonic();
    const key = keyOf(event);
    const known = this.#series.get(key);
    if (known !== undefined && now - known.last < SERIES_MAX) {
      known.count += 1;
      known.last = now;
      if (now - known.written < SERIES_WRITE) return;
      known.written = now;
      return this.#later(() => this.#count(key, known, event));
    }
    if (!this.#isAllowed(event.about, now)) return;
    if (this.#waiting >= WAITING_MAX) {
      return onError(
        new HoldfastError("CLUSTER_FAILED", "too many Events at once: one is dropped"),
      );
    }
    const place = {
      namespace: event.about.metadata.namespace ?? "default",
      name: this.#name(event),
    };
    const series = { place, count: 1, written: now, last: now };
    this.#remember(key, series);
    this.#later(() => this.#create(series, event, microTime(clock)));
  }

  async settled(): Promise<void> {
    await this.#line;
  }

  #later(write: () => Promise<void>): void {
    this.#waiting += 1;
    this.#line = this.#line.then(async () => {
      try {
        await write();
      } catch (error) {
        if (!this.#options.signal.aborted) this.#options.onError(error);
      } finally {
        this.#waiting -= 1;
      }
    });
  }

  async #create(series: Series, event: RecordedEvent, time: string): Promise<void> {
    const { api, controller, instance, signal } = this.#options;
    const body = {
      apiVersion: EVENT.apiVersion,
      kind: EVENT.kind,
      metadata: { ...series.place },
      eventTime: time,
      reportingController: cut(controller, WORD_BYTES),
      reportingInstance: cut(instance, WORD_BYTES),
      action: cut(event.action, WORD_BYTES),
      reason: cut(event.reason, WORD_BYTES),
      regarding: referenceTo(event.about),
      ...(event.related ? { related: referenceTo(event.related) } : {}),
      note: cut(event.message, NOTE_BYTES),
      type: event.type,
    };
    await api.create(EVENT, body as KubeObject, { signal }).catch((error: unknown) => {
      // The name has 64 bits of chance: what has it is this very Event, whose answer was lost.
      if (!isHoldfastError(error, "CLUSTER_EXISTS")) throw error;
    });
  }

  async #count(key: string, series: Series, event: RecordedEvent): Promise<void> {
    const { api, clock, signal } = this.#options;
    const lastObservedTime = microTime(clock);
    const patch = { series: { count: series.count, lastObservedTime } };
    try {
      await api.patch(EVENT, series.place, patch, { type: "merge", signal });
    } catch (error) {
      if (!isHoldfastError(error, "CLUSTER_NOT_FOUND")) throw error;
      // Events live for an hour; and the first one may never have been written.
      const place = { ...series.place, name: this.#name(event) };
      const again = { ...series, place, count: 1 };
      this.#remember(key, again);
      await this.#create(again, event, lastObservedTime);
    }
  }

  #remember(key: string, series: Series): void {
    this.#series.delete(key);
    this.#series.set(key, series);
    while (this.#series.size > KNOWN_MAX) {
      this.#series.delete(this.#series.keys().next().value!);
    }
  }

  /** Takes one from what the object may have. */
  #isAllowed(about: KubeObject, now: number): boolean {
    const key = about.metadata.uid ?? `${about.kind} ${about.metadata.name}`;
    const was = this.#allowances.get(key) ?? { left: BURST, at: now };
    const refilled = Math.min(BURST, was.left + (now - was.at) / REFILL);
    this.#allowances.delete(key);
    this.#allowances.set(key, { left: refilled >= 1 ? refilled - 1 : refilled, at: now });
    while (this.#allowances.size > KNOWN_MAX) {
      this.#allowances.delete(this.#allowances.keys().next().value!);
    }
    return refilled >= 1;
  }

  #name({ about }: RecordedEvent): string {
    const suffix = Buffer.from(this.#options.random(SUFFIX_BYTES)).toString("hex");
    // A cut name must not end in what no name may have before a dot.
    const base = about.metadata.name.slice(0, NAME_MAX - suffix.length - 1).replace(/[.-]+$/, "");
    return `${base}.${suffix}`;
  }
}

function keyOf({ about, type, reason, action, message, related }: RecordedEvent): string {
  const { namespace, name, uid } = about.metadata;
  const whom = [about.kind, namespace, name, uid, related?.kind, related?.metadata.name];
  return JSON.stringify([...whom, type, reason, action, message]);
}

function referenceTo({ apiVersion, kind, metadata }: KubeObject): object {
  const { namespace, name, uid, resourceVersion } = metadata;
  return {
    apiVersion,
    kind,
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}

/** At most `bytes` bytes of UTF-8, never half a character. */
export function cut(text: string, bytes: number): string {
  const encoded = Buffer.from(text, "utf8");
  if (encoded.length <= bytes) return encoded.toString("utf8");
  const mark = "…";
  let end = bytes - Buffer.byteLength(mark);
  while (end > 0 && (encoded[end]! & 0xc0) === 0x80) end -= 1;
  return encoded.subarray(0, end).toString("utf8") + mark;
}
