// One run of a mover from its variables to its verdict: what `mover backup` and `mover restore` have in common. Whatever happens,
// it ends with a verdict in the termination message, the same in words as the last lines of the log, and a status that tells the
// Job whether to try again.

import { accessSync, constants, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { parseDuration } from "../base/duration.ts";
import { HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";
import { MOVER_EXIT, PLACE, VARIABLE } from "../operator/mover-variables.ts";
import type { MoverProblem, MoverVerdict } from "../operator/mover-verdict.ts";
import type { Context } from "./command.ts";
import { isCancellation } from "./exit-status.ts";
import type { VerdictFacts } from "./mover-verdict.ts";
import {
  moverStatus,
  problemOf,
  verdictLines,
  withoutSecrets,
  writeVerdict,
} from "./mover-verdict.ts";

/** What a mover works with. */
export interface Mover {
  readonly context: Context;
  readonly environment: Context["environment"];
  /** Absolute. */
  readonly dataFolder: string;
  readonly safe: boolean;
  /** Milliseconds to wait for a lock of somebody else. */
  readonly lockWait: number;
  /** What the verdict will say. */
  readonly facts: VerdictFacts;
  /** Tells of what is wrong and ends nothing. */
  warn(error: HoldfastError): void;
}

const DEBUG_LOOK_MS = 1000;

/** Does `work` as a mover; resolves with the exit status. Never throws. */
export async function runMover(
  given: Context,
  work: (mover: Mover) => Promise<void>,
): Promise<number> {
  const { environment, clock, output } = given;
  const begun = clock.monotonic();
  const facts: VerdictFacts = { problems: [] };
  let status: number = MOVER_EXIT.ok;
  try {
    const mover = createMover(given, facts);
    await waitForDebugger(given);
    await work(mover);
  } catch (error) {
    status = moverStatus(error);
    const problem = withPodsFix(problemOf(error, environment), given);
    facts.problems = [problem, ...(facts.problems ?? [])];
    if (isDefect(error) && given.settings.debug)
      output.warn(withoutSecrets(String((error as Error).stack), environment));
  }
  const seconds = (clock.monotonic() - begun) / 1000;
  const verdict: MoverVerdict = {
    v: 1,
    result: status === MOVER_EXIT.ok ? "ok" : "failed",
    run: environment[VARIABLE.run] || "manual",
    ...facts,
    seconds: Math.round(seconds * 1000) / 1000,
  };
  if (status === MOVER_EXIT.ok) output.print(`Restic completed in ${Math.round(seconds)}s`);
  for (const line of verdictLines(verdict)) output.print(line);
  try {
    writeVerdict(verdict, environment);
  } catch (error) {
    output.warn(messageOf(error));
  }
  return status;
}

/** Who may write to a volume that holds the repository is said in the resource: nobody gets at the folder itself. */
function withPodsFix(problem: MoverProblem, { environment, machine }: Context): MoverProblem {
  const isOnVolume = /^(?:local:)?\//.test(environment["RESTIC_REPOSITORY"]?.trim() ?? "");
  if (problem.code !== "STORAGE_DENIED" || !isOnVolume || !environment[VARIABLE.run]) {
    return problem;
  }
  const { uid, gid } = machine;
  const hint = `The mover is ${uid}:${gid}: give moverSecurityContext the user who owns the repository's volume, or an fsGroup for it.`;
  return { ...problem, hint };
}

function isDefect(error: unknown): boolean {
  return !isHoldfastError(error) && !isCancellation(error);
}

function createMover(given: Context, facts: VerdictFacts): Mover {
  const { environment, output } = given;
  const context = moverContext(given, facts);
  const wait = environment[VARIABLE.lockWait];
  const mode = environment[VARIABLE.mode] || "compat";
  if (mode !== "compat" && mode !== "safe") {
    throw new HoldfastError("USAGE", `${VARIABLE.mode}: ${JSON.stringify(mode)} is no mode`, {
      hint: "It is compat or safe.",
    });
  }
  return {
    context,
    environment,
    dataFolder: environment[VARIABLE.dataFolder] || PLACE.data,
    safe: mode === "safe",
    lockWait: wait ? parseDuration(wait, VARIABLE.lockWait) : 0,
    facts,
    warn(error) {
      facts.problems = [...(facts.problems ?? []), problemOf(error, environment)];
      output.warn(`Warning: ${withoutSecrets(error.message, environment)}`);
    },
  };
}

/** The context as a mover's variables change it: authorities to trust, and a cache only where one is mounted. */
function moverContext(context: Context, facts: VerdictFacts): Context {
  const { environment, settings } = context;
  const ca = environment[VARIABLE.customCa];
  const named = environment[VARIABLE.cacheFolder];
  const cacheFolder = usableFolder(context, named);
  if (named && cacheFolder === undefined) facts.uncached = true;
  return {
    ...context,
    settings: {
      ...settings,
      cacheFolder,
      ...(ca && { caCertificates: [ca] }),
    },
  };
}

/** A cache saves time; a mover that may not write to it does without. */
function usableFolder({ output }: Context, folder: string | undefined): string | undefined {
  if (!folder) return undefined;
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    return folder;
  } catch (error) {
    output.warn(`working without a cache: ${messageOf(error)}`);
    return undefined;
  }
}

/** Somebody wants to look around in the pod first. */
async function waitForDebugger({ environment, clock, output, signal }: Context): Promise<void> {
  if (!environment[VARIABLE.debug]) return;
  const file = PLACE.debugFile;
  writeFileSync(file, "");
  output.print(`Waiting: the mover goes on once ${file} is removed`);
  while (existsSync(file)) await clock.sleep(DEBUG_LOOK_MS, signal);
}
