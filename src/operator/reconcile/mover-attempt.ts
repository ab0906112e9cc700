// One attempt of a run: its Secret, volumes and identity, and at last its Job. Every step is there already or is made, and may have to
// wait for the cluster; what is decided about the run stands in its plan, not here.

import { keyOf } from "../cluster/kube-object.ts";
import type { Step } from "../context.ts";
import { deadLockOwners } from "../mover/dead-locks.ts";
import { ensureJob } from "../mover/ensure-job.ts";
import { buildMoverJob } from "../mover/job.ts";
import { removeLog } from "../mover/log-pod.ts";
import type { MoverSecret } from "../mover/secret.ts";
import { ensureServiceAccount } from "../mover/service-account.ts";
import { EXTERNAL, type Role } from "../names.ts";
import type { RunPlan } from "../run-plan.ts";
import { chooseAffinity } from "../volumes/affinity.ts";
import { cacheGroup } from "../volumes/cache-group.ts";
import { moverRights } from "../volumes/identity.ts";
import { tellOnce } from "../volumes/told.ts";
import { asOwnerOfFiles } from "./file-owner.ts";
import type { Owner, ReconcileContext, RolePart } from "./reconcile-context.ts";

/** Makes what the attempt needs, as far as it goes. Ready: the Job is there. Throws what cannot become ready by waiting. */
export async function makeAttempt<T extends Owner>(
  context: ReconcileContext,
  part: RolePart<T>,
  {
    owner,
    plan,
    secret,
  }: { readonly owner: T; readonly plan: RunPlan; readonly secret: MoverSecret },
): Promise<Step<void>> {
  const { role, volumes } = part;
  const volume = await volumes.volume(owner, plan);
  if ("waiting" in volume) return volume;
  const cache = await volumes.cache(owner, plan);
  if ("waiting" in cache) return cache;
  const { claim } = volume.ready;
  const claims = [claim.metadata.name, ...extraClaims(owner)];
  const { namespace } = owner.metadata;
  // Who says where the mover runs is taken at his word.
  const isPlaced = owner.spec.restic?.moverAffinity !== undefined;
  const affinity = isPlaced ? {} : await chooseAffinity(context, { namespace, claims });
  const rights = await moverRights(context, namespace ?? "");
  const found = await volumes.identity(owner, rights);
  const identity = asOwnerOfFiles(context, found, { owner, role, plan, rights });
  const action = "CreateMover";
  if (identity.problem !== undefined) {
    context.events.record({ about: owner, type: "Warning", action, ...identity.problem });
  }
  if (identity.notice !== undefined) {
    tellOnce(context, { owner, type: "Normal", action, ...identity.notice });
  }
  const serviceAccount = await ensureServiceAccount(context, owner, role);
  const job = buildMoverJob({
    owner,
    role,
    plan,
    secret,
    volume: volume.ready,
    cache: cache.ready,
    affinity,
    identity,
    cacheGroup: role === "source" ? await cacheGroup(context, owner, cache.ready) : undefined,
    serviceAccount,
    settings: context.settings,
    ...rights,
    deadOwners: await deadLockOwners(context, owner, seenLocks(owner)),
  });
  const turn = takeTurn(context, role, { owner, plan });
  if ("waiting" in turn) return turn;
  try {
    await removeLog(context, owner, role);
    await ensureJob(context, job);
  } catch (error) {
    context.turns.leave(keyOf(owner));
    throw error;
  }
  return { ready: undefined };
}

/** Asked last: who waits for a volume keeps nobody from working, and the copy is of the time at which the backup was due. */
function takeTurn(
  context: ReconcileContext,
  role: Role,
  { owner, plan }: { readonly owner: Owner; readonly plan: RunPlan },
): Step<void> {
  if (role === "destination" || owner.spec.paused === true) return { ready: undefined };
  const due = Date.parse(plan.cause.kind === "schedule" ? plan.cause.due : plan.started);
  const turn = context.turns.ask(keyOf(owner), due);
  if (turn === "go") return { ready: undefined };
  const reason = "WaitingForTurn";
  const message = `${context.turns.max} movers are at work, as many as there may be at once (--max-movers): the one of this source is made when its turn comes`;
  if (turn === "wait") {
    context.events.record({ about: owner, type: "Normal", action: "CreateMover", reason, message });
  }
  return { waiting: { reason, message } };
}

/** Claims of moverVolumes: the pod must be where they can be mounted. */
function extraClaims(owner: Owner): string[] {
  return (owner.spec.restic?.moverVolumes ?? []).flatMap(({ volumeSource }) => {
    const name = volumeSource.persistentVolumeClaim?.claimName;
    return name === undefined ? [] : [name];
  });
}

/** Hosts that locks may name: those that stood in the way last time, and pods of this resource that died since. */
function seenLocks({ status }: Owner): { hostname: string }[] {
  const external = status?.external ?? {};
  const movers = (external[EXTERNAL.movers] ?? "").split(",").map((entry) => entry.split("@")[0]!);
  const locks = (external[EXTERNAL.locks] ?? "").split(",");
  return [...new Set([...movers, ...locks])]
    .filter((hostname) => hostname !== "")
    .map((hostname) => ({ hostname }));
}
