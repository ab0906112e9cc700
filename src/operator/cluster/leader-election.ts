// One of several processes leads: the one whose name is in a Lease and who keeps renewing it. The rules and durations are those of
// client-go, because the Lease is the one that VolSync itself holds: as long as either runs, the other waits.
//
// Whether a lease has run out is judged by how long *we* have seen it unchanged, never by the times in it: clocks differ. A leader
// that could not renew for the renew deadline stops leading 30 s before anybody else may begin. Nobody leads twice at once here:
// before it stands for election again, what it led must have ended.

import type { Clock, Random } from "../../base/clock.ts";
import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { ClusterApi } from "./cluster-api.ts";
import { fraction } from "./jitter.ts";
import { LEASE } from "./kinds.ts";
import type { Lease } from "./kube-object.ts";
import { microTime } from "./micro-time.ts";

export interface LeaseOptions {
  readonly api: ClusterApi;
  readonly namespace: string;
  readonly name: string;
  /** Ours, and nobody else's ever: the pod's name and something random. */
  readonly identity: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Aborted: we stop leading, give the lease back and are done. */
  readonly signal: AbortSignal;
  /** What only the leader does. Its signal is aborted when we lead no more; the lease is given back after it has settled. */
  readonly lead: (signal: AbortSignal) => Promise<void>;
  /** Told of attempts that failed; they are made again. */
  readonly onError?: (error: unknown) => void;
  /** Told when somebody else is seen to lead, or we ourselves do. */
  readonly onLeader?: (identity: string) => void;
  /** Milliseconds; those of VolSync by default. */
  readonly durations?: LeaseDurations;
}

export interface LeaseDurations {
  readonly lease: number;
  readonly renewDeadline: number;
  readonly retry: number;
}

export const VOLSYNC_LEASE = "b95b3104.backube";
const DURATIONS: LeaseDurations = { lease: 137_000, renewDeadline: 107_000, retry: 26_000 };
/** Milliseconds for giving the lease back: whoever waits for it waits no longer than for an expired one. */
const RELEASE_MAX = 10_000;

/** Leads whenever it can, until `signal` is aborted or `lead` has ended by itself. Throws what `lead` throws. */
export async function runWithLease(options: LeaseOptions): Promise<void> {
  const election = new Election(options);
  while (!options.signal.aborted) {
    if (!(await election.win())) return;
    if (await election.lead()) return;
  }
}

class Election {
  readonly #options: LeaseOptions;
  readonly #durations: LeaseDurations;
  /** The last lease that was read or written, and since when it has been like that. */
  #seen: { readonly lease: Lease; readonly since: number } | undefined;
  #leader: string | undefined;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#durations = options.durations ?? DURATIONS;
  }

  /** Tries until the lease is ours. False: `signal` was aborted before. */
  async win(): Promise<boolean> {
    const { signal, clock, random } = this.#options;
    for (;;) {
      try {
        if (await this.#tryOnce(signal)) return true;
      } catch (error) {
        if (signal.aborted) return false;
        this.#failed(error);
      }
      const pause = Math.round(this.#durations.retry * (1 + 0.2 * fraction(random)));
      await clock.sleep(pause, signal).catch(() => {});
      if (signal.aborted) return false;
    }
  }

  /** Leads for as long as the lease can be renewed. True: there is nothing more to do. */
  async lead(): Promise<boolean> {
    const { signal, lead } = this.#options;
    const lost = new AbortController();
    const done = new AbortController();
    const both = AbortSignal.any([signal, lost.signal]);
    const renewing = this.#renew(AbortSignal.any([both, done.signal]), lost);
    try {
      await lead(both);
    } catch (error) {
      // What stops because it was told to may say so by throwing.
      if (!both.aborted) throw error;
    } finally {
      done.abort();
      await renewing;
      if (!lost.signal.aborted) await this.#release();
    }
    return signal.aborted || !lost.signal.aborted;
  }

  /** Renews until `stop`, or aborts `lost`. Never rejects. */
  async #renew(stop: AbortSignal, lost: AbortController): Promise<void> {
    const { clock, onError } = this.#options;
    const { retry, renewDeadline } = this.#durations;
    let renewed = clock.monotonic();
    while (!stop.aborted) {
      // The last attempt before the deadline ends with it; none begins after it.
      const rest = Math.max(0, renewed + renewDeadline - clock.monotonic());
      await clock.sleep(Math.min(retry, rest), stop).catch(() => {});
      if (stop.aborted) return;
      // Counted from before the request: the server may have taken it long before it answered.
      const began = clock.monotonic();
      const left = renewed + renewDeadline - began;
      const isOurs = await this.#before(left, stop, (signal) => this.#tryOnce(signal)).catch(
        (error: unknown) => {
          if (!stop.aborted) this.#failed(error);
          return undefined;
        },
      );
      if (stop.aborted) return;
      if (isOurs === true) renewed = began;
      const isLate = clock.monotonic() - renewed >= renewDeadline;
      if (isOurs !== false && !isLate) continue;
      const why =
        isOurs === false ? `${this.#leader ?? "another one"} holds it` : "it could not be renewed";
      const error = new HoldfastError(
        "CLUSTER_CONFLICT",
        `lost the lease ${this.#place()}: ${why}`,
        {
          hint: "Nothing: whoever holds it goes on; see why the API server was not to be reached in time.",
        },
      );
      onError?.(error);
      lost.abort(error);
      return;
    }
  }

  /** Runs `work` with a signal that is aborted after `milliseconds` too. */
  async #before<T>(
    milliseconds: number,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const late = new AbortController();
    const done = new AbortController();
    this.#options.clock.sleep(Math.max(0, milliseconds), done.signal).then(
      () => late.abort(new Error("too late to renew the lease")),
      () => {},
    );
    try {
      return await work(AbortSignal.any([signal, late.signal]));
    } finally {
      done.abort();
    }
  }

  /** Takes or renews the lease if that is allowed now. */
  async #tryOnce(signal: AbortSignal): Promise<boolean> {
    const { api, namespace, name, identity, clock } = this.#options;
    const lease = await api.get(LEASE, { namespace, name }, { signal });
    if (lease === undefined) {
      const made = await api.create(LEASE, this.#fresh(), { signal }).catch(unlessExists);
      if (made !== undefined) this.#note(made);
      return made !== undefined;
    }
    this.#observe(lease);
    const { holderIdentity = "", leaseDurationSeconds = 0 } = lease.spec;
    const isOurs = holderIdentity === identity;
    if (!isOurs && holderIdentity !== "") {
      this.#tell(holderIdentity);
      const expires = this.#seen!.since + leaseDurationSeconds * 1000;
      if (clock.monotonic() < expires) return false;
    }
    const now = microTime(clock);
    const spec: Lease["spec"] = {
      ...lease.spec,
      holderIdentity: identity,
      leaseDurationSeconds: Math.round(this.#durations.lease / 1000),
      renewTime: now,
      acquireTime: isOurs ? (lease.spec.acquireTime ?? now) : now,
      leaseTransitions: (lease.spec.leaseTransitions ?? 0) + (isOurs ? 0 : 1),
    };
    try {
      this.#note(await api.replace(LEASE, { ...lease, spec }, { signal }));
      return true;
    } catch (error) {
      // Somebody was faster; whether they took it, the next attempt will see.
      if (isHoldfastError(error, "CLUSTER_CONFLICT") && !isOurs) return false;
      throw error;
    }
  }

  #fresh(): Lease {
    const { namespace, name, identity, clock } = this.#options;
    const now = microTime(clock);
    return {
      apiVersion: LEASE.apiVersion,
      kind: LEASE.kind,
      metadata: { namespace, name },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: Math.round(this.#durations.lease / 1000),
        acquireTime: now,
        renewTime: now,
        leaseTransitions: 0,
      },
    };
  }

  /** The lease as it is now; unchanged, it has been so since it was first seen. */
  #observe(lease: Lease): void {
    const version = lease.metadata.resourceVersion;
    if (this.#seen?.lease.metadata.resourceVersion === version) return;
    this.#seen = { lease, since: this.#options.clock.monotonic() };
  }

  /** We hold it. */
  #note(lease: Lease): void {
    this.#observe(lease);
    this.#tell(this.#options.identity);
  }

  #failed(error: unknown): void {
    this.#options.onError?.(error);
    // Told anew when the lease can be read again.
    this.#leader = undefined;
  }

  #tell(leader: string): void {
    if (leader === this.#leader) return;
    this.#leader = leader;
    this.#options.onLeader?.(leader);
  }

  /** Gives the lease back, so that the next one need not wait for it to run out. Never rejects. */
  async #release(): Promise<void> {
    const { api, namespace, name, identity, clock, onError } = this.#options;
    try {
      await this.#before(RELEASE_MAX, new AbortController().signal, async (signal) => {
        const lease = await api.get(LEASE, { namespace, name }, { signal });
        if (lease?.spec.holderIdentity !== identity) return;
        const now = microTime(clock);
        const spec: Lease["spec"] = {
          ...lease.spec,
          holderIdentity: "",
          // As client-go has it: the shortest that the server takes.
          leaseDurationSeconds: 1,
          acquireTime: now,
          renewTime: now,
        };
        await api.replace(LEASE, { ...lease, spec }, { signal });
      });
    } catch (error) {
      onError?.(error);
    }
  }

  #place(): string {
    return `${this.#options.namespace}/${this.#options.name}`;
  }
}

/** Somebody was faster, or it was us and the answer was lost: the next attempt sees which. */
function unlessExists(error: unknown): undefined {
  if (!isHoldfastError(error, "CLUSTER_EXISTS")) throw error;
}
