// The task that removes from the repositories what no snapshot needs (src/repository/prune.ts): from the main one when the plan
// owns it, and from the captures, which wait meanwhile.

import { pruneRepository } from "../../repository/prune.ts";
import { PACK_SIZE_DEFAULT } from "../../repository/writer.ts";
import type { InstanceAccess } from "../access.ts";
import type { InstancePlan } from "../plan.ts";
import type { Schedule } from "../schedule.ts";
import type { DueTask } from "../task.ts";
import type { CaptureTask } from "./capture.ts";

const LOCK_PATIENCE_MS = 10 * 60_000;
/** Unneeded bytes that may stay, as restic has it. */
const UNUSED_PERCENT = 5;

export interface PruneTaskOptions {
  readonly instance: InstancePlan;
  readonly schedule: Schedule;
  readonly access: InstanceAccess;
  readonly capture: CaptureTask | undefined;
}

export function pruneTask({ instance, schedule, access, capture }: PruneTaskOptions): DueTask {
  return {
    instance: instance.name,
    name: "prune",
    schedule,
    locks: [`repository ${instance.name}`],
    beginsAtOnce: false,
    async run({ signal, notice }) {
      const detail: Record<string, number> = {};
      if (instance.repository?.owned === true) {
        let removed = 0;
        await pruneRepository(await access.repository(), {
          criteria: {
            maxUnused: { kind: "percent", percent: UNUSED_PERCENT },
            maxRepackBytes: Infinity,
            smallPackBytes: undefined,
            repackCacheableOnly: false,
            repackUncompressed: false,
          },
          packSize: access.backup.packSize ?? PACK_SIZE_DEFAULT,
          dryRun: false,
          workers: access.backup.workers,
          lock: { retryFor: LOCK_PATIENCE_MS, onNotice: notice },
          events: {
            notice,
            removed: (kind) => {
              if (kind === "pack") removed++;
            },
          },
          signal,
        });
        detail["packs"] = removed;
      }
      if (capture !== undefined && (await capture.mergePacks(signal)))
        detail["captures_merged"] = 1;
      return { text: `removed ${detail["packs"] ?? 0} packs`, detail };
    },
  };
}
