// `run`: keeps a plan going until it is told to stop.

import type { CommandModule, Context } from "../command.ts";
import { parseDuration } from "../../base/duration.ts";
import { HoldfastError } from "../../base/errors.ts";
import { buildInstance, type BuiltInstance } from "../../plan/build-tasks.ts";
import { claimState } from "../../plan/claim-state.ts";
import { openJournal } from "../../plan/journal.ts";
import type { InstancePlan } from "../../plan/plan.ts";
import { Runner } from "../../plan/runner.ts";
import { EXIT } from "../exit-status.ts";
import { instanceContext, PlanAccess } from "../plan-access.ts";
import { readPlanFile, stateFolder } from "../plan-file.ts";
import { RunReport } from "../run-report.ts";
import { PROGRAM_VERSION } from "../version.ts";

interface RunFlags {
  file: string;
  state?: string;
  once?: string;
  instance?: string;
  grace: string;
}

export const runCommand: CommandModule = {
  configure(command) {
    command
      .requiredOption("-f, --file <plan>", "the plan, a YAML file")
      .option("--state <folder>", "folder of the journal (or HOLDFAST_STATE; default: the plan's)")
      .option("--once <task>", "run one task now and end: base, snapshot, expire, prune, drill")
      .option("--instance <name>", "only this instance of the plan")
      .option("--grace <duration>", "how long tasks may take to end when stopped", "25s")
      .addHelpText(
        "after",
        `
Examples:
  holdfast run -f plan.yaml
  holdfast run -f plan.yaml --once snapshot --instance production
  holdfast run -f plan.yaml --json

Archives WAL and captures files as the plan says, and makes base backups, full snapshots, expiries and drills when they are
due. Nothing that fails ends anything else: it is tried again, and what was due while nobody ran is caught up with once.
Runs until it is stopped by SIGINT or SIGTERM, and ends what it is doing well. \`holdfast plan check\` reads a plan only.`,
      );
  },

  async run(context, _, options) {
    const flags = options as unknown as RunFlags;
    const { output, clock, random, signal } = context;
    const grace = parseDuration(flags.grace, "--grace");
    const plan = await readPlanFile(context, flags.file);
    const chosen = chooseInstances(plan.instances, flags.instance);
    const state = stateFolder(context, { named: flags.state, plan });
    const isOnce = flags.once !== undefined;
    const claim = isOnce ? undefined : await claimState(state);
    try {
      const instances: BuiltInstance[] = [];
      for (const instance of chosen) instances.push(await build(context, instance, state));
      refuseIdle(instances, flags.file);
      const report = new RunReport({ output, clock, instances });
      const runner = new Runner({
        services: instances.flatMap(({ services }) => services),
        tasks: instances.flatMap(({ tasks }) => tasks),
        journal: await openJournal(state),
        clock,
        random,
        onEvent: (event) => report.tell(event),
        grace,
        signal,
      });
      if (flags.once !== undefined) {
        await runOnce(runner, instances, flags.once);
        return EXIT.ok;
      }
      for (const { instance } of instances) output.print(`protecting ${instance.name}`);
      const over = new AbortController();
      const watching = report.watch(() => runner.statuses, AbortSignal.any([signal, over.signal]));
      await runner.run();
      over.abort();
      await watching;
      return EXIT.ok;
    } finally {
      await claim?.close();
    }
  },
};

async function build(
  context: Context,
  instance: InstancePlan,
  state: string,
): Promise<BuiltInstance> {
  const own = await instanceContext(context, instance);
  context.closers.add(own.closers);
  const access = new PlanAccess(own, instance);
  await access.requireNames();
  return buildInstance({
    instance,
    access,
    state,
    by: `holdfast ${PROGRAM_VERSION} on ${context.machine.hostname}`,
    lanes: Math.max(2, context.cores + 1),
  });
}

function chooseInstances(
  instances: readonly InstancePlan[],
  name: string | undefined,
): readonly InstancePlan[] {
  if (name === undefined) return instances;
  const found = instances.filter((one) => one.name === name);
  if (found.length > 0) return found;
  throw new HoldfastError("USAGE", `the plan has no instance ${JSON.stringify(name)}`, {
    hint: `It has ${instances.map((one) => one.name).join(", ")}.`,
  });
}

/** Whoever starts it wants something done. */
function refuseIdle(instances: readonly BuiltInstance[], file: string): void {
  if (instances.some(({ services, tasks }) => services.length + tasks.length > 0)) return;
  throw new HoldfastError("PLAN_INVALID", `${file}: there is nothing to do`, {
    hint: "Give it `schedules`, `capture: {}` or `receive: {}` of an archive.",
  });
}

/** Runs the task of every instance that has it, one after the other. Throws the first failure when all have run. */
async function runOnce(
  runner: Runner,
  instances: readonly BuiltInstance[],
  name: string,
): Promise<void> {
  const tasks = instances.flatMap((one) => one.tasks.filter((task) => task.name === name));
  if (tasks.length === 0) {
    const known = [...new Set(instances.flatMap((one) => one.tasks.map((task) => task.name)))];
    throw new HoldfastError("USAGE", `the plan has no task ${JSON.stringify(name)} to run once`, {
      hint:
        known.length === 0
          ? "Give it a schedule in the plan."
          : `It has ${known.join(", ")}; others need a schedule in the plan first.`,
    });
  }
  const failures: unknown[] = [];
  for (const task of tasks) {
    await runner.runOnce(task).catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
}
