// Fields that several movers of a ReplicationSource or -Destination share, and the schemas of the movers that Holdfast does not
// run (rsync, rsyncTLS, rclone, syncthing). Those stay in the schema so that objects of VolSync keep their fields and can be given back to it.

import { z } from "zod";
import type {
  AccessMode,
  PodSecurityContext,
  ResourceRequirements,
} from "../cluster/kube-object.ts";
import {
  accessMode,
  accessModes,
  affinity,
  copyMethod,
  customCa,
  flag,
  moverVolumes,
  podSecurityContext,
  port,
  quantity,
  resourceRequirements,
  text,
  texts,
  type CopyMethod,
  type CustomCa,
  type MoverVolumeSpec,
} from "./pod-fields.ts";

/** How the pod of a mover is made. */
export interface MoverOptions {
  moverSecurityContext?: PodSecurityContext;
  moverServiceAccount?: string;
  moverPodLabels?: Record<string, string>;
  moverResources?: ResourceRequirements;
  /** Handed to the pod as it is. */
  moverAffinity?: Record<string, unknown>;
  moverVolumes?: MoverVolumeSpec[];
}

/** How the copy of a claim, or a new claim, is made. */
export interface VolumeOptions {
  copyMethod?: CopyMethod;
  capacity?: string | number;
  storageClassName?: string;
  accessModes?: AccessMode[];
  volumeSnapshotClassName?: string;
}

/** What both sides of the restic mover have. */
export interface ResticOptions extends MoverOptions, VolumeOptions {
  /** Name of the Secret. */
  repository?: string;
  customCA?: CustomCa;
  cacheCapacity?: string | number;
  cacheStorageClassName?: string;
  cacheAccessModes?: AccessMode[];
}

/** What a destination writes to. */
export interface TargetOptions {
  destinationPVC?: string;
  cleanupTempPVC?: boolean;
}

/** The schemas of an interface's fields, all of which are optional: a field that one side lacks does not compile. */
export type Fields<T> = {
  [K in keyof T]-?: z.ZodExactOptional<z.ZodType<Exclude<T[K], undefined>>>;
};

/** A mover that is not ours: kept as it is. */
export type ForeignMover = Record<string, unknown>;

export interface Trigger {
  schedule?: string;
  /** Wins over `schedule`. */
  manual?: string;
}

/** Somebody else deals with the resource. */
export interface ExternalSpec {
  provider?: string;
  parameters?: Record<string, string>;
}

/**
 * Upstream's pattern, faults and all. Its second half is not anchored at the start, so `CRON_TZ=Asia/Tokyo 0 4 * * *` passes, and
 * so does junk in front; a stricter one would refuse objects that are in clusters today.
 */
export const SCHEDULE_PATTERN: RegExp =
  /^(@(annually|yearly|monthly|weekly|daily|hourly))|((((\d+,)*\d+|(\d+(\/|-)\d+)|\*(\/\d+)?)\s?){5})$/;

export const trigger: z.ZodType<Trigger> = z
  .looseObject({
    manual: text
      .exactOptional()
      .describe("A new value asks for one run; while it is set there is no schedule"),
    schedule: z
      .string()
      .regex(SCHEDULE_PATTERN)
      .exactOptional()
      .describe(
        "When to run, in the five fields of cron, UTC; CRON_TZ=Area/City in front names another zone",
      ),
  })
  .describe("When to run; without it the next run begins when the last one has ended");

export const external: z.ZodType<ExternalSpec> = z
  .looseObject({
    parameters: texts.exactOptional().describe("Settings for the provider"),
    provider: text
      .exactOptional()
      .describe("Who deals with this resource, such as example.com/name"),
  })
  .describe("Another controller deals with this resource");

const affinityField = {
  moverAffinity: affinity.exactOptional().describe("Affinity of the mover's pod"),
};
const podFields = {
  moverPodLabels: texts.exactOptional().describe("Labels of the mover's pod, beside its own"),
  moverResources: resourceRequirements
    .exactOptional()
    .describe("What the mover's container requests, and its limits"),
  moverServiceAccount: text
    .exactOptional()
    .describe("Service account of the mover's pod; by default one is made for it"),
};
const containedFields = {
  ...affinityField,
  ...podFields,
  moverSecurityContext: podSecurityContext
    .exactOptional()
    .describe("Security context of the mover's pod: user, groups and so on"),
  moverVolumes: moverVolumes
    .exactOptional()
    .describe("More volumes for the mover, each mounted below /mnt"),
};

const volumeFields = {
  accessModes: accessModes.exactOptional().describe("Access modes of the volume that is made"),
  capacity: quantity.exactOptional().describe("Size of the volume that is made"),
  copyMethod: copyMethod
    .exactOptional()
    .describe("Whether the claim itself is used, or a clone or snapshot of it"),
  storageClassName: text.exactOptional().describe("Storage class of the volume that is made"),
  volumeSnapshotClassName: text.exactOptional().describe("Class of the volume snapshot"),
};

/** Fields of a destination's volume. */
export const targetFields: Fields<TargetOptions> = {
  cleanupTempPVC: flag
    .exactOptional()
    .describe("Remove the claim that was made for this resource after each run"),
  destinationPVC: text.exactOptional().describe("Claim to write to; by default one is made"),
};

const customCaField = {
  customCA: customCa
    .exactOptional()
    .describe("Certificate authority that the storage's certificate is checked against"),
};

export const resticFields: Fields<ResticOptions> = {
  ...volumeFields,
  ...containedFields,
  ...customCaField,
  cacheAccessModes: z
    .array(accessMode)
    .exactOptional()
    .describe("Access modes of the cache's claim"),
  cacheCapacity: quantity.exactOptional().describe("Size of the cache's claim; 1Gi by default"),
  cacheStorageClassName: text.exactOptional().describe("Storage class of the cache's claim"),
  repository: text
    .exactOptional()
    .describe("Secret with RESTIC_REPOSITORY, RESTIC_PASSWORD and what the storage asks for"),
};

const NOT_RUN = "A mover of VolSync that Holdfast does not run";

const sshFields = {
  ...volumeFields,
  ...podFields,
  address: text.exactOptional(),
  path: text.exactOptional(),
  port: port.exactOptional(),
  serviceType: text.exactOptional(),
  sshKeys: text.exactOptional(),
  sshUser: text.exactOptional(),
};
const tlsFields = { ...volumeFields, ...containedFields, keySecret: text.exactOptional() };
const rcloneFields = {
  ...volumeFields,
  ...containedFields,
  ...customCaField,
  rcloneConfig: text.exactOptional(),
  rcloneConfigSection: text.exactOptional(),
  rcloneDestPath: text.exactOptional(),
};
const serviceFields = {
  serviceAnnotations: texts.exactOptional(),
  volumeMode: text.exactOptional(),
};

function foreign(fields: z.core.$ZodLooseShape): z.ZodExactOptional<z.ZodType<ForeignMover>> {
  return z.looseObject(fields).exactOptional().describe(NOT_RUN);
}

type ForeignFields = Readonly<Record<string, z.ZodExactOptional<z.ZodType<ForeignMover>>>>;

export const foreignSources: ForeignFields = {
  rclone: foreign(rcloneFields),
  rsync: foreign(sshFields),
  rsyncTLS: foreign({ ...tlsFields, address: text.exactOptional(), port: port.exactOptional() }),
  syncthing: foreign({
    ...containedFields,
    configAccessModes: z.array(accessMode).exactOptional(),
    configCapacity: quantity.exactOptional(),
    configStorageClassName: text.exactOptional(),
    peers: z.array(z.looseObject({ ID: text, address: text, introducer: flag })).exactOptional(),
    serviceType: text.exactOptional(),
  }),
};

export const foreignDestinations: ForeignFields = {
  rclone: foreign({ ...rcloneFields, ...targetFields }),
  rsync: foreign({ ...sshFields, ...targetFields, ...serviceFields }),
  rsyncTLS: foreign({
    ...tlsFields,
    ...targetFields,
    ...serviceFields,
    serviceType: text.exactOptional(),
  }),
};

/** Movers that are in the schema and not run. */
export const FOREIGN_MOVERS: readonly string[] = ["rclone", "rsync", "rsyncTLS", "syncthing"];
