// What a bucket says of itself, for people. Most of it needs a right that accounts for backups seldom have; the key that
// objects really are encrypted with is proved by the answers to our own writes instead.

import { HoldfastError } from "../../base/errors.ts";
import type { StorageFact } from "../storage.ts";
import { recordOf } from "./answers.ts";
import type { Service } from "./service.ts";

interface BucketResource {
  readonly location?: string;
  readonly storageClass?: string;
  readonly versioning?: { readonly enabled?: boolean };
  readonly softDeletePolicy?: { readonly retentionDurationSeconds?: string };
  readonly retentionPolicy?: { readonly retentionPeriod?: string; readonly isLocked?: boolean };
  readonly iamConfiguration?: {
    readonly uniformBucketLevelAccess?: { readonly enabled?: boolean };
  };
  readonly encryption?: { readonly defaultKmsKeyName?: string };
}

const FIELDS =
  "location,storageClass,versioning,softDeletePolicy,retentionPolicy,iamConfiguration,encryption";

export interface InspectionOptions {
  readonly service: Service;
  /** The key that is required, if one is. */
  readonly required: string | undefined;
  /** Keys that objects written by this run came to lie under, and how many; "" for Google's own. */
  readonly keysSeen: ReadonlyMap<string, number>;
  readonly signal: AbortSignal | undefined;
}

/** Facts about the bucket; what may not be looked up is told as unknown. */
export async function inspectBucket(options: InspectionOptions): Promise<StorageFact[]> {
  const { service, keysSeen, required } = options;
  const bucket = await lookUp(options);
  const facts = [encryptionKey(keysSeen, required)];
  if (typeof bucket === "string") {
    const names = ["default-key", "location", "storage-class", "uniform-access"];
    for (const name of [...names, "versioning", "soft-delete", "retention"]) {
      facts.push({ name, value: undefined, note: bucket });
    }
  } else facts.push(...bucketFacts(bucket));
  const { skew } = service;
  if (skew !== undefined) facts.push(clockSkew(skew));
  return facts;
}

/** The bucket, or why it cannot be looked up. */
async function lookUp({ service, signal }: InspectionOptions): Promise<BucketResource | string> {
  try {
    const what = `look up the bucket ${service.bucket}`;
    const answer = await service.call({
      kind: "other",
      method: "GET",
      path: `/storage/v1/b/${encodeURIComponent(service.bucket)}`,
      query: { fields: FIELDS },
      what,
      signal,
    });
    return recordOf(answer, what);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== "STORAGE_DENIED") throw error;
    return "needs storage.buckets.get, which this account does not have";
  }
}

function encryptionKey(
  keysSeen: ReadonlyMap<string, number>,
  required: string | undefined,
): StorageFact {
  const name = "encryption-key";
  const keys = [...keysSeen.keys()].map((key) => (key === "" ? "Google's own" : key));
  if (keys.length === 0) return { name, value: undefined, note: "nothing was written" };
  const proof = "as the service answered to a write";
  const note = required === undefined ? proof : `${proof}; required, and every other is refused`;
  return { name, value: keys.join(", "), note };
}

function bucketFacts(bucket: BucketResource): StorageFact[] {
  const { retentionPolicy, encryption, softDeletePolicy, iamConfiguration } = bucket;
  const soft = Number(softDeletePolicy?.retentionDurationSeconds ?? 0);
  const period = Number(retentionPolicy?.retentionPeriod ?? 0);
  const uniform = iamConfiguration?.uniformBucketLevelAccess?.enabled === true;
  return [
    { name: "default-key", value: encryption?.defaultKmsKeyName ?? "none: Google's own keys" },
    { name: "location", value: bucket.location ?? "unknown" },
    {
      name: "storage-class",
      value: bucket.storageClass ?? "unknown",
      ...(bucket.storageClass !== "STANDARD" && {
        note: "locks and pruned packs are billed for the minimum time of this class",
      }),
    },
    { name: "uniform-access", value: onOff(uniform) },
    {
      name: "versioning",
      value: onOff(bucket.versioning?.enabled === true),
      ...(bucket.versioning?.enabled === true && {
        note: "deleted objects stay and are billed until a lifecycle rule removes them",
      }),
    },
    {
      name: "soft-delete",
      value: soft === 0 ? "off" : duration(soft),
      note:
        soft === 0
          ? "what is deleted is gone at once"
          : "deleted objects can be restored that long, and are billed that long",
    },
    {
      name: "retention",
      value: period === 0 ? "off" : duration(period),
      ...(period > 0 && {
        note: `objects cannot be deleted earlier, locks and pruned packs included${retentionPolicy?.isLocked === true ? "; the policy is locked" : ""}`,
      }),
    },
  ];
}

function clockSkew(skew: number): StorageFact {
  const seconds = Math.round(skew / 1000);
  const name = "clock-skew";
  if (Math.abs(seconds) < 2) return { name, value: "none" };
  const value = `${Math.abs(seconds)} s ${seconds > 0 ? "behind" : "ahead of"} the service`;
  return Math.abs(seconds) < 60
    ? { name, value }
    : { name, value, note: "set this machine's clock: tokens and locks depend on it" };
}

function onOff(value: boolean): string {
  return value ? "on" : "off";
}

function duration(seconds: number): string {
  const days = seconds / 86_400;
  if (days >= 1) return `${Number(days.toFixed(1))} days`;
  return seconds >= 3600 ? `${Number((seconds / 3600).toFixed(1))} hours` : `${seconds} s`;
}
