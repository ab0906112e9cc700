// The handshake by which an application says when its volume may be copied (volsync.backube/use-copy-trigger on the claim). The
// copy bears the value that it answers, so that a new value during the copy is not taken for answered.

import { CLAIM } from "../cluster/kinds.ts";
import type { KubeObject, PersistentVolumeClaim } from "../cluster/kube-object.ts";
import type { OperatorContext, Step } from "../context.ts";
import { isControlledBy } from "../cluster/owner.ts";
import { ANNOTATION, pointInTimeName } from "../names.ts";
import { VOLUME_ANNOTATION } from "./annotations.ts";
import { tell, tellOnce } from "./told.ts";

/** Reasons of Step.waiting: before and after the ten minutes within which the trigger should come. It is waited for either way. */
export const WAITING_FOR_COPY_TRIGGER = "WaitingForCopyTrigger";
export const COPY_TRIGGER_LATE = "CopyTriggerLate";

const PATIENCE = 600_000;
const ACTION = "CreateSrcCopyUsingCopyTrigger";

/** The claim as the API server has it now: after our own last change a cache may still show an answered trigger as a new one. */
async function fresh(
  { api, signal }: OperatorContext,
  { metadata: { namespace, name } }: PersistentVolumeClaim,
): Promise<PersistentVolumeClaim | undefined> {
  return await api.get(CLAIM, { namespace, name }, { signal });
}

async function annotate(
  { api, signal }: OperatorContext,
  { metadata: { namespace, name } }: PersistentVolumeClaim,
  annotations: Record<string, string | null>,
): Promise<void> {
  await api.patch(
    CLAIM,
    { namespace, name },
    { metadata: { annotations } },
    { type: "merge", signal },
  );
}

/** True when copies are made on an application's word alone: one that is thrown away cannot be had again at will. */
export function asksForCopies({ stores }: OperatorContext, { metadata, spec }: CopyOwner): boolean {
  const claim = stores.claims.get(metadata.namespace, spec.sourcePVC ?? "");
  return claim?.metadata.annotations?.[ANNOTATION.useCopyTrigger] !== undefined;
}

interface CopyOwner extends KubeObject {
  readonly spec: { readonly sourcePVC?: string | undefined };
}

/** Tells the application when the clone has its volume, which may come with the mover's pod. Of use at any time of a run. */
export async function tellCloned(context: OperatorContext, source: CopyOwner): Promise<void> {
  const { api, stores, signal } = context;
  const { namespace, name } = source.metadata;
  if (!asksForCopies(context, source)) return;
  const claim = stores.claims.get(namespace, source.spec.sourcePVC ?? "");
  const copy = await api.get(CLAIM, { namespace, name: pointInTimeName(name) }, { signal });
  if (claim === undefined || copy === undefined || !isControlledBy(copy, source)) return;
  const isClone = copy.spec.dataSource?.kind === copy.kind;
  if (isClone && copy.status?.phase === "Bound")
    await completeCopyTrigger(context, source, { claim, copy });
}

/** Whether the copy may be made now: with the annotations that it is to bear. */
export async function awaitCopyTrigger(
  context: OperatorContext,
  owner: KubeObject,
  claim: PersistentVolumeClaim,
): Promise<Step<Record<string, string>>> {
  if (claim.metadata.annotations?.[ANNOTATION.useCopyTrigger] === undefined) return { ready: {} };
  const now = await fresh(context, claim);
  const said = now?.metadata.annotations ?? {};
  const value = said[ANNOTATION.copyTrigger];
  const { name } = claim.metadata;
  if (value && value !== said[ANNOTATION.latestCopyTrigger]) {
    if (said[ANNOTATION.latestCopyStatus] !== "InProgress") {
      await annotate(context, claim, {
        [ANNOTATION.latestCopyStatus]: "InProgress",
        [ANNOTATION.copyWaitingSince]: null,
      });
      tell(context, {
        owner,
        type: "Normal",
        reason: "SrcPVCCopyTriggerReceived",
        action: ACTION,
        message: `PersistentVolumeClaim ${name} has a new copy trigger; it is copied now`,
        related: claim,
      });
    }
    return { ready: { [VOLUME_ANNOTATION.copyTrigger]: value } };
  }
  return { waiting: await waiting(context, owner, claim, said) };
}

type Waiting = Extract<Step<never>, { waiting: unknown }>["waiting"];

async function waiting(
  context: OperatorContext,
  owner: KubeObject,
  claim: PersistentVolumeClaim,
  said: Readonly<Record<string, string>>,
): Promise<Waiting> {
  const { name } = claim.metadata;
  const now = context.clock.now();
  let since = Date.parse(said[ANNOTATION.copyWaitingSince] ?? "");
  const isWaiting = said[ANNOTATION.latestCopyStatus] === "WaitingForTrigger";
  if (!isWaiting || Number.isNaN(since)) {
    since = Math.floor(now / 1000) * 1000;
    await annotate(context, claim, {
      [ANNOTATION.latestCopyStatus]: "WaitingForTrigger",
      [ANNOTATION.copyWaitingSince]: new Date(since).toISOString().replace(".000Z", "Z"),
    });
    tell(context, {
      owner,
      type: "Normal",
      reason: "SrcPVCWaitingForCopyTrigger",
      action: ACTION,
      message: `PersistentVolumeClaim ${name} is copied once its annotation ${ANNOTATION.copyTrigger} has a new value`,
      related: claim,
    });
  }
  const left = since + PATIENCE - now;
  const message = `waiting for a new value of annotation ${ANNOTATION.copyTrigger} on PersistentVolumeClaim ${name}`;
  if (left > 0) return { reason: WAITING_FOR_COPY_TRIGGER, message, recheck: left };
  tellOnce(context, {
    owner,
    type: "Warning",
    reason: "SrcPVCTimeoutWaitingForCopyTrigger",
    action: ACTION,
    message: `no copy trigger on PersistentVolumeClaim ${name} for 10 minutes; still ${message}`,
    related: claim,
  });
  return { reason: COPY_TRIGGER_LATE, message: `for 10 minutes ${message}`, late: true };
}

/** The copy that was made for a trigger is done: the application may go on. */
export async function completeCopyTrigger(
  context: OperatorContext,
  owner: KubeObject,
  { claim, copy }: { readonly claim: PersistentVolumeClaim; readonly copy: KubeObject },
): Promise<void> {
  if (claim.metadata.annotations?.[ANNOTATION.useCopyTrigger] === undefined) return;
  // One that VolSync made bears no value: its trigger is the one that is there.
  const now = (await fresh(context, claim))?.metadata.annotations;
  if (now === undefined) return;
  const value = copy.metadata.annotations?.[VOLUME_ANNOTATION.copyTrigger];
  const answered = value ?? now[ANNOTATION.copyTrigger];
  const isSaid = now[ANNOTATION.latestCopyTrigger] === answered;
  // Waiting again already, for the run after this one.
  const isOver = now[ANNOTATION.latestCopyStatus] !== "InProgress";
  if (answered === undefined || (isSaid && isOver)) return;
  await annotate(context, claim, {
    [ANNOTATION.latestCopyStatus]: "Completed",
    [ANNOTATION.latestCopyTrigger]: answered,
    [ANNOTATION.copyWaitingSince]: null,
  });
  tell(context, {
    owner,
    type: "Normal",
    reason: "SrcPVCCopyUsingCopyTriggerCompleted",
    action: ACTION,
    message: `PersistentVolumeClaim ${claim.metadata.name} has been copied; the application may write again`,
    related: claim,
  });
}
