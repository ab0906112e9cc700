// Who the mover is when nothing in the cluster says it: the owner of the files, whom a mover found, since it alone can look into the
// repository and the volume. Found at most once in a run, and kept in the status: later runs begin with it, whichever process starts
// them, and look again.
//
// Must never: make a mover root because of what a pod or a status says, unless the namespace lets it be.

import type { PodSecurityContext } from "../cluster/kube-object.ts";
import type { OperatorContext } from "../context.ts";
import type { RunState } from "../mover/run-state.ts";
import { GUESSED, IDENTITY } from "../mover-variables.ts";
import type { FileOwner } from "../mover-verdict.ts";
import { EXTERNAL, type Role } from "../names.ts";
import type { RunPlan } from "../run-plan.ts";
import { moverRights } from "../volumes/identity.ts";
import type { Identity, MoverRights } from "../volumes/volume.ts";
import type { Owner } from "./reconcile-context.ts";

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

/** `found`, or where that is a guess, the owner of the files as far as one was found. */
export function asOwnerOfFiles(
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
  const known = recorded(owner);
  if (known === undefined || !GUESSED.has(found.kind)) return found;
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

function recorded({ status }: Owner): (FileOwner & { readonly run: string }) | undefined {
  const text = status?.external?.[EXTERNAL.owner] ?? "";
  const match = /^([a-z0-9]{4,32}) (\d{1,10}):(\d{1,10})$/.exec(text);
  if (match === null) return undefined;
  const [, run = "", uid, gid] = match;
  const files = { uid: Number(uid), gid: Number(gid) };
  const isPossible = Math.max(files.uid, files.gid) < 2 ** 31;
  return isPossible ? { run, ...files } : undefined;
}
