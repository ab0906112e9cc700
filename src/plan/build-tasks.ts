// From a plan to what the runner runs: the services and tasks of every instance, and how their results come together in a
// watermark that is known without asking any storage.

import type { Lsn } from "../barman/lsn.ts";
import type { JointPosition } from "../odoo/capture-mark.ts";
import type { InstanceAccess } from "./access.ts";
import type { InstancePlan } from "./plan.ts";
import type { DueTask, ServiceTask } from "./task.ts";
import { baseTask } from "./tasks/base.ts";
import { captureTask } from "./tasks/capture.ts";
import { expireTask } from "./tasks/expire.ts";
import { pruneTask } from "./tasks/prune.ts";
import { receiveTask } from "./tasks/receive.ts";
import { snapshotTask } from "./tasks/snapshot.ts";

export interface BuiltInstance {
  readonly instance: InstancePlan;
  readonly services: readonly ServiceTask[];
  readonly tasks: readonly DueTask[];
  readonly progress: InstanceProgress;
}

/** How far this process knows an instance to be protected; undefined for what it has not seen. */
export class InstanceProgress {
  #durable: { readonly timeline: number; readonly lsn: Lsn } | undefined;
  /** Joint points whose WAL was not archived when they were made, oldest first. */
  readonly #waiting: JointPosition[] = [];
  #watermark: JointPosition | undefined;

  /**
   * The newest joint point whose WAL our receiver has archived. Of an archive that another program fills nothing is known
   * here: `holdfast status` reads it.
   */
  get watermark(): JointPosition | undefined {
    return this.#watermark;
  }

  captured(position: JointPosition): void {
    this.#waiting.push(position);
    this.#advance();
    // An archive that stands still must not fill the memory: in between nothing is lost by leaving one out.
    if (this.#waiting.length > 1000) this.#waiting.splice(1, 500);
  }

  archived(durable: { readonly timeline: number; readonly lsn: Lsn }): void {
    this.#durable = durable;
    // Positions of a timeline that was left are dropped: nobody here knows whether they lie before the place where it was.
    while (this.#waiting[0] !== undefined && this.#waiting[0].timeline < durable.timeline)
      this.#waiting.shift();
    this.#advance();
  }

  #advance(): void {
    const durable = this.#durable;
    if (durable === undefined) return;
    for (let at = this.#waiting.length - 1; at >= 0; at--) {
      const { timeline, lsn } = this.#waiting[at]!;
      if (timeline !== durable.timeline || lsn > durable.lsn) continue;
      this.#watermark = this.#waiting[at];
      this.#waiting.splice(0, at + 1);
      return;
    }
  }
}

/** Makes what an instance asks for. */
export function buildInstance(options: {
  readonly instance: InstancePlan;
  readonly access: InstanceAccess;
  /** Folder of the plan's state. */
  readonly state: string;
  readonly by: string;
  readonly lanes: number;
}): BuiltInstance {
  const { instance, access, state, by, lanes } = options;
  const { schedules, filestore, archive, window } = instance;
  const progress = new InstanceProgress();
  const services: ServiceTask[] = [];
  const tasks: DueTask[] = [];
  if (archive?.receive !== undefined) {
    const onDurable = (durable: { timeline: number; lsn: Lsn }): void => progress.archived(durable);
    services.push(receiveTask({ instance, receive: archive.receive, access, state, onDurable }));
  }
  const capture =
    instance.capture && filestore !== undefined
      ? captureTask({
          instance,
          filestore,
          interval: instance.capture.interval,
          access,
          onTick: ({ isJoint, position }) => {
            if (isJoint && position !== undefined) progress.captured(position);
          },
        })
      : undefined;
  if (capture !== undefined) services.push(capture);
  const { base, snapshot, expire, prune, drill } = schedules;
  if (base !== undefined) tasks.push(baseTask({ instance, schedule: base, access, by, lanes }));
  if (snapshot !== undefined && filestore !== undefined) {
    const onMade = (): void => capture?.fullSnapshotMade();
    tasks.push(snapshotTask({ instance, filestore, schedule: snapshot, access, onMade }));
  }
  if (expire !== undefined && window !== undefined)
    tasks.push(expireTask({ instance, window, schedule: expire, access }));
  if (prune !== undefined) tasks.push(pruneTask({ instance, schedule: prune, access, capture }));
  if (drill !== undefined) {
    tasks.push({
      instance: instance.name,
      name: "drill",
      schedule: drill,
      locks: [],
      beginsAtOnce: false,
      run: async (run) => await access.drill(run),
    });
  }
  return { instance, services, tasks, progress };
}
