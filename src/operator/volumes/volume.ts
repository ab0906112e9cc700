// What a run is given to work on: the volume with the data, the cache, the image that a restore leaves, where its pod must run
// and as whom. Types alone.

import type { PersistentVolumeClaim, PodSecurityContext } from "../cluster/kube-object.ts";
import type { IdentityKind } from "../mover-variables.ts";

export interface MoverVolume {
  readonly claim: PersistentVolumeClaim;
  /** The volume can only be read (ReadOnlyMany). A source's mount is for reading in any case. */
  readonly readOnly: boolean;
  /** When the data of the copy was taken. RFC 3339. Absent: the mover reads live data. */
  readonly pointInTime?: string | undefined;
  /** We made it. */
  readonly temporary: boolean;
}

/** Where the cache is: on a claim, or in a directory that goes with the pod. */
export type CacheVolume =
  | { readonly claim: PersistentVolumeClaim }
  | { readonly emptyDir: { readonly sizeLimit?: string | undefined } };

/** Where a mover's pod must run: beside the pods that hold its volumes. */
export interface Affinity {
  readonly nodeSelector?: Readonly<Record<string, string>> | undefined;
  readonly tolerations?: readonly unknown[] | undefined;
}

export interface Identity {
  /** Absent: the image's own user, who is not root. */
  readonly securityContext?: PodSecurityContext | undefined;
  /** How sure that is. */
  readonly kind: IdentityKind;
  /** Where it comes from, for a person: `pod odoo-0`, `moverSecurityContext`. */
  readonly from: string;
  /** Why the mover may not be able to read or write everything, and what to do about it. */
  readonly problem?: { readonly reason: string; readonly message: string } | undefined;
  /** What is worth knowing, once. */
  readonly notice?: { readonly reason: string; readonly message: string } | undefined;
}

/** What a namespace lets movers be. */
export interface MoverRights {
  /** Root with capabilities: by VolSync's annotation. */
  readonly privileged: boolean;
  /** Root without: Pod Security does not enforce the level `restricted`. */
  readonly rootAllowed: boolean;
}

/** An unfinished restore into a claim. */
export interface Restoring {
  readonly kind: "ReplicationDestination" | "PersistentVolumeClaim";
  readonly name: string;
  /** For a person: what is unfinished. */
  readonly message: string;
}
