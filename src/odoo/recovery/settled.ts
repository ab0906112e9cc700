// A time at which nobody wrote. PostgreSQL stops a recovery at a time only when it meets a transaction that was committed later;
// after an evening without one the log just ends, and the server says that the time was not reached. A capture knows better:
// it saw the position of the log when the server's clock had passed the time. All that was committed by then lies before that
// position, so a log that goes at least so far, and has nothing of later, holds the database exactly as it was.

import type { Lsn } from "../../barman/lsn.ts";
import {
  chooseRecovery,
  type ChoiceOptions,
  type RecoveryChoice,
} from "../../barman/recovery-choice.ts";
import type { RecoveryTarget } from "../../barman/recovery-target.ts";
import { isHoldfastError } from "../../base/errors.ts";
import type { JointPosition } from "../capture-mark.ts";
import { obstacleOf, type MarkedCapture } from "../watermark.ts";
import { isOnBranch } from "./coverage.ts";

/**
 * A commit takes its time a little before it takes its place in the log: milliseconds by which the clock must have passed the
 * wanted time when the position was read.
 */
const MARGIN_MS = 2000;

export interface SettledOptions extends ChoiceOptions {
  readonly captures: readonly MarkedCapture[];
  /** How far partial segments reach, by path. */
  readonly partialReach: ReadonlyMap<string, Lsn>;
}

/** A choice, and for a time the position at which it was surely over. */
export interface SettledChoice {
  readonly choice: RecoveryChoice;
  /** What `chooseRecovery` chooses the same by. */
  readonly by: RecoveryTarget;
  readonly settled: Lsn | undefined;
}

/**
 * Chooses as `chooseRecovery` does. A time that is behind the last WAL of the archive is taken all the same when a capture
 * proves that nothing is missing up to it. Throws what `chooseRecovery` throws.
 */
export function chooseSettled(options: SettledOptions): SettledChoice {
  const { target, captures } = options;
  if (target.kind !== "time")
    return { choice: chooseRecovery(options), by: target, settled: undefined };
  const time = target.micros / 1000;
  try {
    const choice = chooseRecovery(options);
    const point = firstAfter(time, captures, (position) => isOf(position, choice));
    return { choice, by: target, settled: point?.lsn };
  } catch (error) {
    const point = firstAfter(time, captures, () => true);
    if (!isHoldfastError(error, "TARGET_UNREACHABLE") || point === undefined) throw error;
    const choice = byPosition(point, options);
    if (choice === undefined || endOf(choice) > target.micros) throw error;
    return { choice: { ...choice, target }, by: choice.target, settled: point.lsn };
  }
}

/** The way to a position that the archive is known to reach; undefined when there is none. */
function byPosition(point: JointPosition, options: SettledOptions): RecoveryChoice | undefined {
  const { catalogue, partialReach } = options;
  if (obstacleOf(point, { catalogue, partialReach }) !== undefined) return undefined;
  try {
    const choice = chooseRecovery({ ...options, target: { kind: "lsn", lsn: point.lsn } });
    return isOf(point, choice) ? choice : undefined;
  } catch (error) {
    if (isHoldfastError(error, "TARGET_UNREACHABLE")) return undefined;
    throw error;
  }
}

/** The oldest position whose capture was made when `time` had passed. */
function firstAfter(
  time: number,
  captures: readonly MarkedCapture[],
  isWanted: (position: JointPosition) => boolean,
): JointPosition | undefined {
  return captures
    .flatMap(({ mark: { position } }) => (position === undefined ? [] : [position]))
    .filter((position) => position.time >= time + MARGIN_MS && isWanted(position))
    .toSorted((a, b) => a.time - b.time)[0];
}

/** True for a position of the cluster and the branch of history that are recovered. */
function isOf(position: JointPosition, choice: RecoveryChoice): boolean {
  const { systemId } = choice.backup.info!;
  return (
    (systemId === null || systemId === position.systemId) &&
    position.timeline <= choice.timeline &&
    isOnBranch(position, choice)
  );
}

function endOf({ backup }: RecoveryChoice): number {
  return backup.info!.endTime!.micros;
}
