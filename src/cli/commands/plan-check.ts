// `plan check`: reads a plan, and says what it does. Opens nothing, and asks nobody.

import { SCHEDULED_TASKS, type InstancePlan } from "../../plan/plan.ts";
import type { CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { formatAge } from "../format.ts";
import { readPlanFile } from "../plan-file.ts";

export const planCheckCommand: CommandModule = {
  stopsWithReader: true,

  configure(command) {
    command.argument("<plan>", "the plan, a YAML file").addHelpText(
      "after",
      `
Examples:
  holdfast plan check plan.yaml
  holdfast plan check plan.yaml --json

Every problem is told with file, line and column. Secrets are not opened, and nothing is asked.`,
    );
  },

  async run(context, [name = ""]) {
    const { output, clock } = context;
    const plan = await readPlanFile(context, name);
    const now = clock.now();
    if (output.isJson) {
      output.json({
        message_type: "plan",
        instances: plan.instances.map((one) => message(one, now)),
      });
      return EXIT.ok;
    }
    for (const instance of plan.instances)
      for (const line of describe(instance, now)) output.data(line);
    return EXIT.ok;
  },
};

function describe(instance: InstancePlan, now: number): string[] {
  const { name, archive, capture, window, schedules, repository } = instance;
  const owned = [repository?.owned && "the repository", archive?.owned && "the archive"].filter(
    Boolean,
  );
  const lines = [
    window && `any moment of the last ${window.text} stays recoverable`,
    archive?.receive && `WAL is received through the slot ${archive.receive.slot}`,
    archive && !archive.receive && "WAL comes from another program",
    capture && `files are captured every ${capture.interval / 1000} s`,
    owned.length > 0 && `what is expired is removed from ${owned.join(" and ")}`,
    ...SCHEDULED_TASKS.map((task) => {
      const schedule = schedules[task];
      const next = schedule?.next(now);
      if (schedule === undefined || next === undefined) return undefined;
      return `${task}: ${schedule.text}, next ${timeIn(schedule.timeZone, next)}, ${formatAge((now - next) / 1000)}`;
    }),
  ].filter((line) => typeof line === "string");
  return [name, ...(lines.length === 0 ? ["nothing is done"] : lines).map((line) => `  ${line}`)];
}

/** "Sunday 2026-11-29 01:00 Europe/Berlin": as the schedule says it, wherever this machine is. */
function timeIn(timeZone: string, time: number): string {
  const weekday = new Intl.DateTimeFormat("en", { timeZone, weekday: "long" }).format(time);
  const digits = new Intl.DateTimeFormat("sv", {
    timeZone,
    dateStyle: "short",
    timeStyle: "short",
  }).format(time);
  return `${weekday} ${digits} ${timeZone}`;
}

function message({ name, window, capture, archive, schedules }: InstancePlan, now: number): object {
  return {
    name,
    window_seconds: window === undefined ? null : window.milliseconds / 1000,
    receives: archive?.receive !== undefined,
    capture_seconds: capture === undefined ? null : capture.interval / 1000,
    schedules: Object.fromEntries(
      Object.entries(schedules).map(([task, schedule]) => {
        const next = schedule.next(now);
        return [
          task,
          {
            schedule: schedule.text,
            time_zone: schedule.timeZone,
            next: next === undefined ? null : new Date(next).toISOString(),
          },
        ];
      }),
    ),
  };
}
