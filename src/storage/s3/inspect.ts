// What the service says of the bucket, for people. What may not be looked up is told as unknown, with the permission it
// takes.

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { CallOptions, StorageFact } from "../storage.ts";
import type { Bucket } from "./bucket.ts";
import { failedWith, S3Failure } from "./client.ts";
import type { S3Call } from "./client.ts";

/** As `inspect` of src/storage/storage.ts. */
export async function inspectBucket(bucket: Bucket, options: CallOptions): Promise<StorageFact[]> {
  const facts = [
    await fact("encryption-key", () => encryptionKey(bucket, options)),
    await fact("versioning", () => versioning(bucket, options)),
    await fact("object-lock", () => objectLock(bucket, options)),
  ];
  // Last, because an answer may have corrected it.
  return [{ name: "region", value: bucket.client.region }, ...facts];
}

type Found = Omit<StorageFact, "name">;

async function fact(name: string, look: () => Promise<Found>): Promise<StorageFact> {
  try {
    return { name, ...(await look()) };
  } catch (error) {
    const isRefused = isHoldfastError(error, "STORAGE_DENIED");
    const isUnknown = error instanceof S3Failure && [400, 405, 501].includes(error.fault.status);
    if (!isRefused && !isUnknown) throw error;
    const why =
      error.hint === undefined || isUnknown ? error.message : `${error.message}. ${error.hint}`;
    return { name, value: undefined, note: why };
  }
}

function callOf(what: string, permission: string, { signal }: CallOptions): S3Call {
  return { kind: "other", what, permission, signal };
}

/** What an object that is there is encrypted with, which says more than any setting; else the bucket's setting. */
async function encryptionKey(bucket: Bucket, options: CallOptions): Promise<Found> {
  const { client } = bucket;
  const listing = new client.sdk.ListObjectsV2Command({
    Bucket: bucket.options.bucket,
    Prefix: bucket.options.prefix,
    MaxKeys: 1,
  });
  const { output } = await client.send(listing, {
    ...callOf("list the bucket", "s3:ListBucket", options),
    kind: "list",
  });
  const key = output.Contents?.[0]?.Key?.slice(bucket.options.prefix.length);
  const found = key === undefined ? undefined : await bucket.find(key, options);
  const { ServerSideEncryption: used, SSEKMSKeyId: kmsKey } = found?.encryption ?? {};
  if (used !== undefined) {
    const value = kmsKey === undefined ? used : `${used} ${kmsKey}`;
    return { value, note: `of the object ${key}` };
  }
  const command = new client.sdk.GetBucketEncryptionCommand({ Bucket: bucket.options.bucket });
  const call = callOf("look up the bucket's encryption", "s3:GetEncryptionConfiguration", options);
  try {
    const { output: setting } = await client.send(command, call);
    const rule = setting.ServerSideEncryptionConfiguration?.Rules?.[0];
    const { SSEAlgorithm, KMSMasterKeyID } = rule?.ApplyServerSideEncryptionByDefault ?? {};
    const value = [SSEAlgorithm, KMSMasterKeyID].filter((part) => part !== undefined).join(" ");
    return { value: value === "" ? "none" : value, note: "the bucket's setting for new objects" };
  } catch (error) {
    if (failedWith(error, "ServerSideEncryptionConfigurationNotFoundError"))
      return { value: "none" };
    throw error;
  }
}

async function versioning(bucket: Bucket, options: CallOptions): Promise<Found> {
  const command = new bucket.client.sdk.GetBucketVersioningCommand({
    Bucket: bucket.options.bucket,
  });
  const call = callOf("look up the bucket's versioning", "s3:GetBucketVersioning", options);
  const { output } = await bucket.client.send(command, call);
  if (output.Status !== "Enabled") return { value: output.Status?.toLowerCase() ?? "off" };
  return {
    value: "enabled",
    note: "what is deleted stays as an old version, and is paid for, until a lifecycle rule removes it",
  };
}

async function objectLock(bucket: Bucket, options: CallOptions): Promise<Found> {
  const command = new bucket.client.sdk.GetObjectLockConfigurationCommand({
    Bucket: bucket.options.bucket,
  });
  const permission = "s3:GetBucketObjectLockConfiguration";
  try {
    const call = callOf("look up the bucket's object lock", permission, options);
    const { output } = await bucket.client.send(command, call);
    const { ObjectLockEnabled, Rule } = output.ObjectLockConfiguration ?? {};
    if (ObjectLockEnabled !== "Enabled") return { value: "off" };
    const { Mode, Days, Years } = Rule?.DefaultRetention ?? {};
    if (Mode === undefined) return { value: "enabled", note: "without a retention by default" };
    const time = Days === undefined ? `${Years} years` : `${Days} days`;
    return { value: "enabled", note: `retention by default: ${Mode.toLowerCase()}, ${time}` };
  } catch (error) {
    const isOff = failedWith(
      error,
      "ObjectLockConfigurationNotFoundError",
      "NoSuchObjectLockConfiguration",
    );
    if (isOff) return { value: "off" };
    throw error;
  }
}

/** Makes the bucket unless it is there; for `init` alone. */
export async function makeBucket(bucket: Bucket, options: CallOptions): Promise<void> {
  const { client } = bucket;
  const name = bucket.options.bucket;
  try {
    const call = callOf(`look up the bucket ${name}`, "s3:ListBucket", options);
    await client.send(new client.sdk.HeadBucketCommand({ Bucket: name }), call);
    return;
  } catch (error) {
    // Who may not look may still write.
    if (isHoldfastError(error, "STORAGE_DENIED")) return;
    if (!isHoldfastError(error, "STORAGE_NOT_FOUND")) throw error;
  }
  const isElsewhere = bucket.options.endpoint === undefined && client.region !== "us-east-1";
  const command = new client.sdk.CreateBucketCommand({
    Bucket: name,
    ...(isElsewhere && {
      CreateBucketConfiguration: { LocationConstraint: client.region as never },
    }),
  });
  try {
    await client.send(command, callOf(`make the bucket ${name}`, "s3:CreateBucket", options));
    bucket.context.notice(`made the bucket ${name}`);
  } catch (error) {
    if (failedWith(error, "BucketAlreadyOwnedByYou")) return;
    if (!failedWith(error, "BucketAlreadyExists")) throw error;
    throw new HoldfastError("STORAGE_DENIED", `the bucket ${name} belongs to somebody else`, {
      hint: "Choose another name: those of buckets are unique in the whole service.",
    });
  }
}
