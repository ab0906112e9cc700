// Who the mover is when no workload says it: the owner of the files, whom a mover found, since it alone can look into the repository
// and the volume. A pod's user is settled before it can look, so what it finds is for the next Job. Found at most once in a run, and kept
// in the status, as is who a mover was that did well: later runs begin with it, those of other resources of the same claim or
// repository too, whichever process starts them, and look again.
//
// Must never: make a mover root because of what a pod or a status says, unless the namespace lets it be.

import type { Job, PodSecurityContext } from "../cluster/kube-object.ts";
import type { OperatorContext } from "../context.ts";
import type { RunState } from "../mover/run-state.ts";
import { GUESSED, IDENTITY, VARIABLE } from "../mover-variables.ts";
import type { FileOwner } from "../mover-verdict.ts";
import { EXTERNAL, LABEL, type Role } from "../names.ts";
import type { RunPlan } from "../run-plan.ts";
import { moverRights } from "../volumes/identity.ts";
import type { Identity, MoverRights } from "../volumes/volume.ts";
import type { Owner, ReconcileContext } from "./reconcile-context.ts";

/** Who the mover that failed should have been; undefined: it did not say, was told already in this run, or may not be. CLUSTER_*. */
export async function ownerToBe(
  context: OperatorContext,
  {
    owner,
    run,
    plan,
  }: {
    readonly owner: Owner;
    readonly run: Extract<RunState, { kind: "failed" }>;
    readonly plan: Pick<RunPlan, "id">;
  },
): Promise<FileOwner | undefined> {
  const files = run.verdict?.owner;
  if (files === undefined || run.problem.code !== "OTHER_OWNER") return undefined;
  if (recorded(owner)?.run === plan.id) return undefined;
  if (files.uid !== 0) return files;
  const { rootAllowed } = await moverRights(context, owner.metadata.namespace ?? "");
  return rootAllowed ? files : undefined;
}

/** `found`, or where that is a guess, the owner of the files as far as one is known. */
export function asOwnerOfFiles(
  context: Pick<ReconcileContext, "sources" | "destinations">,
  found: Identity,
  {
    owner,
    role,
    plan,
    rights,
  }: {
    readonly owner: Owner;
    readonly role: Role;
    readonly plan: Pick<RunPlan, "id">;
    readonly rights: MoverRights;
  },
): Identity {
  if (!GUESSED.has(found.kind)) return found;
  const known = recorded(owner) ?? knownToOthers(context, owner);
  if (known === undefined) return found;
  const { run, uid, gid } = known;
  const isRoot = uid === 0;
  if (isRoot && !rights.rootAllowed) return found;
  const { runAsNonRoot: _, ...others } = found.securityContext ?? {};
  const securityContext: PodSecurityContext = {
    ...others,
    ...(!isRoot && { runAsNonRoot: true }),
    runAsUser: uid,
    runAsGroup: gid,
    // It lets a restore write into a new volume. To a source, which may be live, it would change modes of files.
    ...(role === "destination" && {
      fsGroup: others.fsGroup ?? gid,
      fsGroupChangePolicy: "OnRootMismatch",
    }),
    seccompProfile: { type: "RuntimeDefault" },
  };
  // What another run found may have changed since: its mover looks.
  const kind = run === plan.id ? IDENTITY.owner : IDENTITY.unknown;
  return { kind, securityContext, from: `the owner of the files, ${uid}:${gid}` };
}

/**
 * What another resource knows of the files in the same claim, else of those in the same repository, where all say the same. The latter
 * is nothing to change the groups of a volume by that has files already, which a restore would.
 */
function knownToOthers(
  { sources, destinations }: Pick<ReconcileContext, "sources" | "destinations">,
  owner: Owner,
): ReturnType<typeof recorded> {
  const { namespace } = owner.metadata;
  const all: Owner[] = [...sources.list(namespace), ...destinations.list(namespace)];
  const { repository, destinationPVC } = owner.spec.restic ?? {};
  const isByRepository = repository !== undefined && destinationPVC === undefined;
  const others = [
    all.filter((other) => claimOf(owner) !== undefined && claimOf(other) === claimOf(owner)),
    all.filter((other) => isByRepository && other.spec.restic?.repository === repository),
  ];
  for (const group of others) {
    const [known, ...more] = group.map(recorded).filter((each) => each !== undefined);
    if (known === undefined) continue;
    return more.every(({ uid, gid }) => uid === known.uid && gid === known.gid) ? known : undefined;
  }
  return undefined;
}

function claimOf({ spec }: Owner): string | undefined {
  return "sourcePVC" in spec ? spec.sourcePVC : spec.restic?.destinationPVC;
}

/** Who the mover of a run was that ended well, as it is recorded; undefined where that says nothing of the files. */
export function moverUser(job: Job): string | undefined {
  const { containers, securityContext: { runAsUser, runAsGroup } = {} } = job.spec.template.spec;
  const kind = containers[0]?.env?.find(({ name }) => name === VARIABLE.identity)?.value ?? "";
  const run = job.metadata.labels?.[LABEL.run];
  if (kind !== IDENTITY.application && kind !== IDENTITY.unknown) return undefined;
  if (run === undefined || runAsUser === undefined || runAsGroup === undefined) return undefined;
  return `${run} ${runAsUser}:${runAsGroup}`;
}

function recorded({ status }: Owner): (FileOwner & { readonly run: string }) | undefined {
  const text = status?.external?.[EXTERNAL.owner] ?? "";
  const match = /^([a-z0-9]{4,32}) (\d{1,10}):(\d{1,10})$/.exec(text);
  if (match === null) return undefined;
  const [, run = "", uid, gid] = match;
  const files = { uid: Number(uid), gid: Number(gid) };
  const isPossible = Math.max(files.uid, files.gid) < 2 ** 31;
  return isPossible ? { run, ...files } : undefined;
}
