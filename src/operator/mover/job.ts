// The Job of one attempt of a run: one container, no token of the API, a root file system that nothing writes to, and no more
// rights than asked for. It passes Pod Security's level `restricted` unless the resource or the namespace asks for root. Pure:
// made anew from the same input it is the same, so that it can be compared.

import type {
  Container,
  Job,
  PersistentVolumeClaim,
  PodSecurityContext,
  PodSpec,
  SecurityContext,
} from "../cluster/kube-object.ts";
import { controllerReference } from "../cluster/owner.ts";
import type { OperatorSettings } from "../context.ts";
import { ANNOTATION, CREATED_BY, LABEL, moverName } from "../names.ts";
import type { Role } from "../names.ts";
import { MOVER_CONTAINER, MOVER_EXIT, PLACE, type IdentityKind } from "../mover-variables.ts";
import type { RunPlan } from "../run-plan.ts";
import { moverEnvironment } from "./environment.ts";
import { hasCustomCa, moverMounts } from "./mover-volumes.ts";
import type { MoverCache } from "./mover-volumes.ts";
import type { MoverOwner } from "./owner.ts";
import type { MoverSecret } from "./secret.ts";

export interface MoverJobInput {
  readonly owner: MoverOwner;
  readonly role: Role;
  readonly plan: RunPlan;
  readonly secret: MoverSecret;
  readonly volume: {
    readonly claim: PersistentVolumeClaim;
    readonly readOnly: boolean;
    /** RFC 3339. */
    readonly pointInTime?: string | undefined;
  };
  readonly cache: MoverCache | undefined;
  readonly affinity: {
    readonly nodeSelector?: Readonly<Record<string, string>> | undefined;
    readonly tolerations?: readonly unknown[] | undefined;
  };
  /** Who the mover is; nothing known: the image's user. */
  readonly identity: {
    readonly securityContext?: PodSecurityContext | undefined;
    readonly kind?: IdentityKind | undefined;
  };
  /** In which the mover can write to its cache, where it has no fsGroup. */
  readonly cacheGroup?: number | undefined;
  /** Movers of the namespace may be root without capabilities. */
  readonly rootAllowed?: boolean | undefined;
  readonly serviceAccount: string;
  readonly settings: Pick<OperatorSettings, "image" | "proxyVariables">;
  /** The namespace allows movers with capabilities. */
  readonly privileged: boolean;
  /** Host names whose locks the mover removes. */
  readonly deadOwners: readonly string[];
}

/** Failed pods after which the Job gives up by itself, as with VolSync. */
const BACKOFF_LIMIT = 8;
const CAPABILITIES = ["DAC_OVERRIDE", "CHOWN", "FOWNER"];
/** MoverSecret.hash of the Secret that the Job was made with. */
export const SECRET_HASH = "holdfast.dev/secret-hash";
const LABEL_MAX = 63;

/** The Job. RESOURCE_INVALID for a moverVolume that cannot be mounted. */
export function buildMoverJob(input: MoverJobInput): Job {
  const { owner, role, plan, secret } = input;
  const { name: ownerName, namespace, uid } = owner.metadata;
  const name = moverName(role, ownerName);
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name,
      ...(namespace !== undefined && { namespace }),
      labels: {
        [LABEL.createdBy]: CREATED_BY,
        ...(uid !== undefined && { [LABEL.cleanup]: uid }),
        [LABEL.run]: plan.id,
      },
      annotations: { [SECRET_HASH]: secret.hash },
      ownerReferences: [controllerReference(owner)],
    },
    spec: {
      backoffLimit: BACKOFF_LIMIT,
      parallelism: owner.spec.paused === true ? 0 : 1,
      completions: 1,
      podFailurePolicy: {
        rules: [
          // What a mover calls lasting ends the Job; a node that is drained is nobody's failure.
          {
            action: "FailJob",
            onExitCodes: {
              containerName: MOVER_CONTAINER,
              operator: "In",
              values: [MOVER_EXIT.ended],
            },
          },
          { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
        ],
      },
      template: {
        metadata: { name, labels: podLabels(input) },
        spec: podSpec(input),
      },
    },
  };
}

/** Labels of the pods of a mover, and of the one that keeps its log: those by which the guide's commands find them. */
export function ownerLabels(role: Role, name: string): Record<string, string> {
  const key = role === "source" ? LABEL.source : LABEL.destination;
  // A longer name can be in no label, nor in a selector.
  return {
    [LABEL.createdBy]: CREATED_BY,
    [key]: name.length <= LABEL_MAX ? name : moverName(role, name),
  };
}

function podLabels({ owner, role, plan }: MoverJobInput): Record<string, string> {
  return {
    ...ownerLabels(role, owner.metadata.name),
    ...owner.spec.restic?.moverPodLabels,
    // By these a mover is told from an application's pod: a volume that it mounts is in nobody's use.
    [LABEL.createdBy]: CREATED_BY,
    [LABEL.run]: plan.id,
  };
}

function podSpec(input: MoverJobInput): PodSpec {
  const { owner, serviceAccount, affinity, role, secret, volume, cache } = input;
  const fields = owner.spec.restic ?? {};
  const { volumes, mounts } = moverMounts({ role, fields, secret, volume, cache });
  const { nodeSelector, tolerations } = affinity;
  return {
    restartPolicy: "Never",
    serviceAccountName: serviceAccount,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 30,
    securityContext: podSecurity(input),
    ...(nodeSelector !== undefined && { nodeSelector: { ...nodeSelector } }),
    ...(tolerations !== undefined && { tolerations: [...tolerations] }),
    ...(fields.moverAffinity !== undefined && { affinity: fields.moverAffinity }),
    containers: [{ ...container(input), volumeMounts: mounts }],
    volumes,
  };
}

function container(input: MoverJobInput): Container {
  const { owner, plan, secret, settings, privileged, deadOwners, volume } = input;
  const fields = owner.spec.restic ?? {};
  const { moverResources } = fields;
  const { namespace } = owner.metadata;
  // The claim of the application, not the copy of it that is mounted.
  const claim = owner.spec.sourcePVC ?? volume.claim.metadata.name;
  const isCopy = claim !== volume.claim.metadata.name;
  return {
    name: MOVER_CONTAINER,
    image: settings.image,
    command: ["holdfast"],
    args: moverArguments(plan),
    env: moverEnvironment({
      plan,
      secret,
      settings,
      claim: `${namespace}/${claim}`,
      claimUid: isCopy ? undefined : volume.claim.metadata.uid,
      pointInTime: volume.pointInTime,
      privileged,
      debug: owner.metadata.annotations?.[ANNOTATION.debugMover] !== undefined,
      hasCustomCa: hasCustomCa(fields),
      deadOwners,
      identityKind: input.identity.kind,
      rootAllowed: input.rootAllowed,
      hasCache: input.cache !== undefined,
    }),
    resources: moverResources ?? {},
    securityContext: containerSecurity(input),
    terminationMessagePath: PLACE.terminationLog,
    // Who never got so far as to write a verdict leaves the end of what it printed.
    terminationMessagePolicy: "FallbackToLogsOnError",
  };
}

function moverArguments({ role, unlock, prune }: RunPlan): string[] {
  if (role === "destination") return ["mover", "restore"];
  return [
    "mover",
    "backup",
    ...(unlock ? ["--unlock"] : []),
    ...(prune === true ? ["--prune"] : []),
  ];
}

/** What the user says counts as it is; a profile is added where none is named. */
function podSecurity({
  owner,
  identity,
  privileged,
  cacheGroup,
}: MoverJobInput): PodSecurityContext {
  const said = owner.spec.restic?.moverSecurityContext ?? identity.securityContext;
  const context: PodSecurityContext = { ...said };
  const isOurs = !privileged && owner.spec.restic?.moverSecurityContext === undefined;
  if (isOurs && cacheGroup !== undefined && context.fsGroup === undefined) {
    context.supplementalGroups = [...(context.supplementalGroups ?? []), cacheGroup];
  }
  context.seccompProfile ??= { type: "RuntimeDefault" };
  if (context.fsGroup !== undefined) context.fsGroupChangePolicy ??= "OnRootMismatch";
  if (!privileged && context.runAsUser !== 0) context.runAsNonRoot ??= true;
  if (privileged) delete context.runAsNonRoot;
  return context;
}

function containerSecurity({ privileged }: MoverJobInput): SecurityContext {
  return {
    allowPrivilegeEscalation: false,
    privileged: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ["ALL"], ...(privileged && { add: CAPABILITIES }) },
    ...(privileged && { runAsUser: 0, runAsNonRoot: false }),
  };
}
