// What movers need of a ReplicationSource or ReplicationDestination: the fields that both have (src/operator/resources has all
// of them). A type alone, so that neither is preferred.

import type {
  KubeObject,
  PodSecurityContext,
  ResourceRequirements,
  Volume,
} from "../cluster/kube-object.ts";

export interface MoverOwner extends KubeObject {
  readonly spec: {
    readonly paused?: boolean | undefined;
    readonly sourcePVC?: string | undefined;
    readonly restic?: MoverFields | undefined;
  };
  readonly status?:
    | { readonly external?: Readonly<Record<string, string>> | undefined }
    | undefined;
}

export interface MoverFields {
  /** Name of the Secret. */
  readonly repository?: string | undefined;
  readonly customCA?:
    | {
        readonly secretName?: string | undefined;
        readonly configMapName?: string | undefined;
        readonly key?: string | undefined;
      }
    | undefined;
  readonly destinationPVC?: string | undefined;
  readonly moverSecurityContext?: PodSecurityContext | undefined;
  readonly moverServiceAccount?: string | undefined;
  readonly moverPodLabels?: Readonly<Record<string, string>> | undefined;
  readonly moverResources?: ResourceRequirements | undefined;
  readonly moverAffinity?: unknown;
  readonly moverVolumes?: readonly ExtraVolume[] | undefined;
}

/** Mounted at `/mnt/<mountPath>`. */
export interface ExtraVolume {
  readonly mountPath: string;
  readonly volumeSource: Pick<Volume, "persistentVolumeClaim" | "nfs"> & {
    /** The CRD lets the name be left out. */
    readonly secret?: Partial<NonNullable<Volume["secret"]>>;
  };
}
