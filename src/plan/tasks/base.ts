// The task that makes base backups (src/postgres/base-backup.ts).

import { millisecondsOf } from "../../barman/zoned-time.ts";
import { formatLsn } from "../../barman/lsn.ts";
import { Progress } from "../../base/progress.ts";
import { loadCatalogue } from "../../postgres/archive.ts";
import { makeBaseBackup } from "../../postgres/base-backup.ts";
import type { InstanceAccess } from "../access.ts";
import type { InstancePlan } from "../plan.ts";
import type { Schedule } from "../schedule.ts";
import type { DueTask } from "../task.ts";

export interface BaseTaskOptions {
  readonly instance: InstancePlan;
  readonly schedule: Schedule;
  readonly access: InstanceAccess;
  /** Who makes it, for whoever finds it unfinished. */
  readonly by: string;
  readonly lanes: number;
}

export function baseTask({ instance, schedule, access, by, lanes }: BaseTaskOptions): DueTask {
  const { clock, random } = access.machine;
  return {
    instance: instance.name,
    name: "base",
    schedule,
    locks: [],
    beginsAtOnce: true,
    async lastDone({ signal }) {
      const archive = await access.archive();
      const { backups } = await loadCatalogue(archive, { now: clock.now(), signal });
      const newest = backups.findLast(({ flaws, info }) => flaws.length === 0 && info?.beginTime);
      return newest && millisecondsOf(newest.info!.beginTime!);
    },
    async run({ signal, notice }) {
      const result = await makeBaseBackup({
        archive: await access.archive(),
        connect: async ({ replication }) => await access.connect({ replication, signal }),
        clock,
        random,
        by,
        // A daemon has time, and the server has users.
        checkpoint: "fast",
        lanes,
        progress: new Progress(),
        events: {
          warning: notice,
          waiting: (missing, count) =>
            notice(`everything is stored; waiting for ${count} segments of WAL from ${missing} on`),
        },
        signal,
      });
      return {
        text: `base backup ${result.id}, ${formatLsn(result.begin)} to ${formatLsn(result.end)}`,
        detail: {
          backup_id: result.id,
          bytes: result.bytes,
          stored_bytes: result.storedBytes,
          end_lsn: formatLsn(result.end),
        },
      };
    },
  };
}
