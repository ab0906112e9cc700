// The metrics that every ReplicationSource and -Destination has, one row each: name, what it says, and how it is read from what is
// known of the resource. A time is seconds since 1970, so that its age is `time() - metric`.

import type { Family, Sample } from "./metric-text.ts";
import type { ResourceRecord } from "./resource-record.ts";

interface ResourceFamily extends Family {
  readonly samples: (record: ResourceRecord, now: number) => readonly Sample[];
}

const QUANTILES = [0.5, 0.9, 0.99] as const;

function one(value: number | undefined): readonly Sample[] {
  return value === undefined ? [] : [{ value }];
}

function time(milliseconds: number | undefined): readonly Sample[] {
  return one(milliseconds === undefined ? undefined : milliseconds / 1000);
}

function ofSource<T>({ role }: ResourceRecord, value: T): T | undefined {
  return role === "source" ? value : undefined;
}

export const RESOURCE_FAMILIES: readonly ResourceFamily[] = [
  {
    name: "volsync_missed_intervals_total",
    type: "counter",
    help: "Slots of the schedule that went by without a successful synchronization.",
    samples: (record, now) =>
      record.outOfSync(now) === undefined ? [] : one(record.missedIntervals(now)),
  },
  {
    name: "volsync_volume_out_of_sync",
    type: "gauge",
    help: "1 when the volume was never synchronized, or a slot of its schedule was missed.",
    samples: (record, now) => {
      const outOfSync = record.outOfSync(now);
      return outOfSync === undefined ? [] : one(outOfSync ? 1 : 0);
    },
  },
  {
    name: "volsync_sync_duration_seconds",
    type: "summary",
    help: "Seconds that successful synchronizations of the last 24 hours took.",
    samples: ({ durations }, now) => [
      ...durations.quantiles(now, QUANTILES).map((value, i): Sample => {
        return { labels: { quantile: String(QUANTILES[i]) }, value };
      }),
      { suffix: "_sum", value: durations.sum },
      { suffix: "_count", value: durations.count },
    ],
  },
  {
    name: "holdfast_sync_success_total",
    type: "counter",
    help: "Synchronizations that were successful since the operator began.",
    samples: ({ successes }) => one(successes),
  },
  {
    name: "holdfast_sync_failure_total",
    type: "counter",
    help: "Attempts that failed since the operator began, by the reason of the Problem condition.",
    samples: ({ failures }) =>
      [...failures].map(([reason, value]) => ({ labels: { reason }, value })),
  },
  {
    name: "holdfast_failing",
    type: "gauge",
    help: "1 while the last attempt failed, or none can be begun.",
    samples: ({ failing }) => one(failing ? 1 : 0),
  },
  {
    name: "holdfast_problem",
    type: "gauge",
    help: "1 for the reason of the Problem condition while it is true, also of runs that were successful.",
    samples: ({ problem }) =>
      problem === undefined ? [] : [{ labels: { reason: problem }, value: 1 }],
  },
  {
    name: "holdfast_phase",
    type: "gauge",
    help: "1 for the reason of the Synchronizing condition.",
    samples: ({ phase }) => (phase === undefined ? [] : [{ labels: { phase }, value: 1 }]),
  },
  {
    name: "holdfast_paused",
    type: "gauge",
    help: "1 while spec.paused is true.",
    samples: ({ paused }) => one(paused ? 1 : 0),
  },
  {
    name: "holdfast_run_started_timestamp_seconds",
    type: "gauge",
    help: "When the run under way began; absent when there is none.",
    samples: ({ runStarted }) => time(runStarted),
  },
  {
    name: "holdfast_last_success_timestamp_seconds",
    type: "gauge",
    help: "When the last successful synchronization ended; absent when there was none.",
    samples: ({ lastSync }) => time(lastSync),
  },
  {
    name: "holdfast_recovery_point_timestamp_seconds",
    type: "gauge",
    help: "When the data of the newest snapshot was taken from the volume: how far back a restore would go. Absent when there is no snapshot.",
    samples: (record) => time(ofSource(record, record.pointInTime)),
  },
  {
    name: "holdfast_snapshot_bytes",
    type: "gauge",
    help: "Bytes of the files in the last snapshot that was made or restored.",
    samples: ({ facts }) => one(facts.bytes),
  },
  {
    name: "holdfast_snapshot_files",
    type: "gauge",
    help: "Files in the last snapshot that was made or restored.",
    samples: ({ facts }) => one(facts.files),
  },
  {
    name: "holdfast_added_bytes",
    type: "gauge",
    help: "Bytes that the last successful backup added to the repository.",
    samples: (record) => one(ofSource(record, record.facts.added)),
  },
  {
    name: "holdfast_repository_snapshots",
    type: "gauge",
    help: "Snapshots that the repository held for the volume after the last run.",
    samples: (record) => one(ofSource(record, record.facts.snapshots)),
  },
  {
    name: "holdfast_repository_locks",
    type: "gauge",
    help: "Locks of others that the last run saw in the repository.",
    samples: ({ facts }) => one(facts.locks),
  },
];
