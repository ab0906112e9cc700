// What a ReplicationSource or -Destination of VolSync will be like when Holdfast takes it over: what stays, what will be different, and what will
// not work. Pure: it is told what the cluster holds, and asks nobody. Of a Secret it looks at names of keys and at where the
// repository is; nothing of it is repeated but the kind of storage.

import { isHoldfastError, messageOf } from "../../base/errors.ts";
import type { Job, Pod, Secret } from "../cluster/kube-object.ts";
import { annotationSlips } from "../machine/annotation-slips.ts";
import { nextSync, scheduleOf } from "../machine/next-sync.ts";
import { triggerValue } from "../machine/trigger.ts";
import { inspectSecret, mountsOf } from "../mover/secret.ts";
import { ANNOTATION, type Role } from "../names.ts";
import type { ReplicationDestination } from "../resources/replication-destination.ts";
import type { ReplicationSource, RetainPolicy } from "../resources/replication-source.ts";
import { moversOf } from "../resources/status-fields.ts";

/**
 * `stays`: the same outcome. `changes`: works, and something is different. `fails`: would be an error, as it is (or should be) now.
 * `unsupported`: VolSync can do it and Holdfast cannot. `left-alone`: belongs to neither.
 */
export type MigrationVerdict = "stays" | "changes" | "fails" | "unsupported" | "left-alone";

export interface MigrationNote {
  /** `same` and `better` need nobody; `change` should be known; `problem` wants something done before. */
  readonly kind: "same" | "better" | "change" | "problem";
  readonly text: string;
  readonly fix?: string | undefined;
}

export interface ResourceFacts {
  readonly role: Role;
  readonly resource: ReplicationSource | ReplicationDestination;
  /** Undefined: there is none of that name. `unread`: we may not look. */
  readonly secret: Secret | "unread" | undefined;
  /** The mover's Job, when there is one. */
  readonly job: Job | undefined;
  /** What the resource names and the cluster does not have, as "PersistentVolumeClaim data"; what may not be read is not among it. */
  readonly absent: readonly string[];
  /** Other claims, as "namespace/name", whose sources name the same repository. */
  readonly sharedWith: readonly string[];
  /** Pods of applications that mount the claim which a destination writes to. */
  readonly mountedBy: readonly Pod[];
  /** The namespace lets movers be root. */
  readonly isPrivileged: boolean;
  /** Milliseconds since 1970. */
  readonly now: number;
}

export interface ResourceOutlook {
  readonly verdict: MigrationVerdict;
  readonly notes: readonly MigrationNote[];
}

/** What becomes of one resource. */
export function outlookOf(facts: ResourceFacts): ResourceOutlook {
  const { resource } = facts;
  const spec = resource.spec as unknown as Readonly<Record<string, unknown>>;
  if (spec["external"] !== undefined) {
    const text = "an external provider deals with it; neither VolSync nor Holdfast touches it";
    return { verdict: "left-alone", notes: [{ kind: "same", text }] };
  }
  const movers = moversOf(spec);
  const [mover] = movers;
  if (movers.length > 1) {
    return failing(`two methods at once: ${movers.join(", ")}`, "Leave one of them in the spec.");
  }
  if (mover === undefined) {
    const other = Object.keys(spec).find((key) => key === "kopia");
    return other === undefined
      ? failing("no method: nothing is backed up or restored", "Add spec.restic, or delete it.")
      : unsupported("kopia, the mover of a fork");
  }
  if (mover !== "restic") return unsupported(`VolSync's ${mover} mover`);
  const notes = [
    ...secretNotes(facts),
    ...surroundingNotes(facts),
    ...triggerNotes(facts),
    ...specNotes(facts),
    ...runNotes(facts),
    ...identityNotes(facts),
  ];
  return { verdict: verdictOf(notes), notes };
}

function verdictOf(notes: readonly MigrationNote[]): MigrationVerdict {
  if (notes.some(({ kind, text }) => kind === "problem" && text.startsWith(BACKEND))) {
    return "unsupported";
  }
  if (notes.some(({ kind }) => kind === "problem")) return "fails";
  return notes.some(({ kind }) => kind === "change") ? "changes" : "stays";
}

const BACKEND = "the repository: ";

function failing(text: string, fix: string): ResourceOutlook {
  return { verdict: "fails", notes: [{ kind: "problem", text, fix }] };
}

function unsupported(what: string): ResourceOutlook {
  const fix =
    "Keep VolSync for it, which then cannot run beside Holdfast in one namespace, or move it to restic.";
  return { verdict: "unsupported", notes: [{ kind: "problem", text: `${what} is not run`, fix }] };
}

function secretNotes({ resource, secret }: ResourceFacts): MigrationNote[] {
  const name = resource.spec.restic?.repository ?? "";
  if (name === "") {
    return [{ kind: "problem", text: "restic.repository names no Secret" }];
  }
  if (secret === "unread") {
    const text = `Secret ${name} could not be looked at, so nobody knows whether its storage is served`;
    return [{ kind: "change", text, fix: "Run this as somebody who may read it." }];
  }
  if (secret === undefined) {
    const fix = "Apply it in the namespace of the resource, or correct restic.repository.";
    return [{ kind: "problem", text: `there is no Secret ${name}`, fix }];
  }
  try {
    const { scheme, remote } = inspectSecret(secret, { mounts: mountsOf(resource) });
    const where = remote === undefined ? scheme : `${scheme} (${remote})`;
    return [{ kind: "same", text: `repository on ${where}: served, and taken over as it is` }];
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    const text = `${error.code === "BACKEND_UNSUPPORTED" ? BACKEND : ""}${messageOf(error)}`;
    return [{ kind: "problem", text, fix: error.hint }];
  }
}

function surroundingNotes({ absent, sharedWith }: ResourceFacts): MigrationNote[] {
  const notes: MigrationNote[] = absent.map((what) => ({
    kind: "problem",
    text: `there is no ${what}`,
    fix: "Create it, or correct its name in the spec.",
  }));
  if (sharedWith.length > 0) {
    const text = `shares its repository with ${sharedWith.slice(0, 3).join(", ")}: VolSync's snapshots do not say whose they are, so the retain of one volume lets go of the other's, and a restore may take them. Ours say it`;
    const fix = "Better give each volume a path of its own in RESTIC_REPOSITORY.";
    notes.push({ kind: "change", text, fix });
  }
  return notes;
}

function triggerNotes({ resource, role, now }: ResourceFacts): MigrationNote[] {
  const notes: MigrationNote[] = [];
  const { schedule, manual } = resource.spec.trigger ?? {};
  if (schedule !== undefined) {
    try {
      scheduleOf(schedule);
    } catch (error) {
      if (!isHoldfastError(error)) throw error;
      return [{ kind: "problem", text: messageOf(error), fix: error.hint }];
    }
  }
  if (!schedule && !manual) {
    const text =
      "no trigger: a run begins as soon as the one before has ended, all day long, as with VolSync";
    notes.push({ kind: "change", text, fix: "Set trigger.schedule, if that is not meant." });
  }
  const { lastSyncTime } = resource.status ?? {};
  const waitsForTag = manual !== undefined && manual === resource.status?.lastManualSync;
  const next = nextSync(resource as never);
  if (lastSyncTime === undefined && !waitsForTag) {
    const what = role === "source" ? "backup" : "restore";
    const when = resource.spec.paused === true ? "when it is no longer paused" : "at once";
    notes.push({ kind: "change", text: `it never ran: its first ${what} begins ${when}` });
  } else if (next !== undefined && next <= now) {
    notes.push({ kind: "change", text: "it is overdue: a run begins at once" });
  }
  if (triggerValue(resource as never) !== undefined) {
    const text = `annotation ${ANNOTATION.trigger} did nothing until now. Its present value asks for nothing; the next one starts a run`;
    notes.push({ kind: "better", text });
  }
  for (const { text, fix } of annotationSlips(resource as never)) {
    notes.push({ kind: "change", text, fix });
  }
  return notes;
}

function specNotes({ resource, role, mountedBy }: ResourceFacts): MigrationNote[] {
  const notes: MigrationNote[] = [];
  const restic = resource.spec.restic ?? {};
  const { copyMethod } = restic;
  if (role === "source") {
    if (resource.spec.restic?.copyMethod === undefined) {
      notes.push({
        kind: "problem",
        text: "copyMethod is missing",
        fix: "Name one: Snapshot, Clone or Direct.",
      });
    }
    const { retain } = restic as { retain?: RetainPolicy };
    if (retain === undefined || Object.keys(retain).length === 0) {
      const text = "without retain every backup removes the one before, as VolSync does";
      notes.push({ kind: "change", text, fix: "State retain." });
    }
    return notes;
  }
  const { destinationPVC, capacity, accessModes } =
    restic as ReplicationDestination["spec"]["restic"] & {};
  if (copyMethod === "Clone") {
    notes.push({ kind: "problem", text: "copyMethod Clone is not for destinations" });
  }
  if (destinationPVC === undefined && (capacity === undefined || accessModes === undefined)) {
    const text = "capacity and accessModes are missing, and no destinationPVC is named";
    notes.push({ kind: "problem", text });
  }
  const [pod] = mountedBy;
  if (pod !== undefined) {
    const text = `pod ${pod.metadata.name} has its volume mounted: a restore would warn of it, and safe mode would refuse`;
    notes.push({ kind: "change", text });
  }
  return notes;
}

function runNotes({ resource, job }: ResourceFacts): MigrationNote[] {
  const notes: MigrationNote[] = [];
  if (job !== undefined && (job.status?.active ?? 0) > 0) {
    const text = `Job ${job.metadata.name} is running: it is left to end, and its result is taken over`;
    notes.push({ kind: "same", text });
  }
  if (resource.status?.latestMoverStatus?.result === "Failed") {
    const text = "its last run failed; Holdfast tries again, and says why in the condition Problem";
    notes.push({ kind: "change", text });
  }
  if (resource.spec.paused === true) notes.push({ kind: "same", text: "it stays paused" });
  return notes;
}

function identityNotes({ resource, role, isPrivileged }: ResourceFacts): MigrationNote[] {
  if (isPrivileged || resource.spec.restic?.moverSecurityContext !== undefined) return [];
  const whose = role === "source" ? "read" : "written";
  const text = `no moverSecurityContext: the volume is ${whose} as the user of the pod that mounts it, or as the files' owner, where VolSync was root without capabilities`;
  return [{ kind: "better", text }];
}
