// From what a person typed to a plan: the file, and the folder where a runner keeps its state.

import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { errnoOf, HoldfastError, messageOf } from "../base/errors.ts";
import type { Plan } from "../plan/plan.ts";
import { readPlan } from "../plan/read-plan.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import type { Context } from "./command.ts";

/** Reads the plan in the file `name`. Throws PLAN_INVALID, USAGE when it cannot be read. */
export async function readPlanFile({ cwd }: Context, name: string): Promise<Plan> {
  const path = resolve(byteStringToText(cwd), name);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const why = errnoOf(error) === "ENOENT" ? "there is no such file" : messageOf(error);
    throw new HoldfastError("USAGE", `the plan ${name} cannot be read: ${why}`, {
      hint: "Name the file with -f plan.yaml; docs/operations/plan.md has one to begin with.",
    });
  }
  return readPlan({ text, name, path });
}

/** The folder of a runner's state: named, of the plan, or in the user's home. Throws USAGE when there is none. */
export function stateFolder(
  { environment, cwd }: Context,
  { named, plan }: { readonly named: string | undefined; readonly plan: Plan },
): string {
  const given = named || environment["HOLDFAST_STATE"];
  if (given) return resolve(byteStringToText(cwd), given);
  if (plan.state !== undefined) return plan.state;
  const home = environment["HOME"];
  const state = environment["XDG_STATE_HOME"] || (home && join(home, ".local", "state"));
  if (state) return join(state, "holdfast", "run");
  throw new HoldfastError("USAGE", "there is no folder for the state of the runner", {
    hint: "Give `state` in the plan, --state FOLDER or the variable HOLDFAST_STATE.",
  });
}
