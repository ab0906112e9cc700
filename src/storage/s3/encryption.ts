// Encryption by the service: what is asked for with every write, and the proof that it was done. An object that the
// service stored in the open, or under another key than the one required, is taken away again.

import { HoldfastError } from "../../base/errors.ts";
import type { S3Options } from "../s3.ts";
import type { Bucket } from "./bucket.ts";

/** The parts of a write's input that ask for encryption. */
export function encryptionInput(options: S3Options): {
  ServerSideEncryption?: "AES256" | "aws:kms" | "aws:kms:dsse";
  SSEKMSKeyId?: string;
} {
  const { kmsKeyId, serverSideEncryption = kmsKeyId === undefined ? undefined : "aws:kms" } =
    options;
  return {
    ...(serverSideEncryption !== undefined && {
      ServerSideEncryption: serverSideEncryption as "AES256" | "aws:kms" | "aws:kms:dsse",
    }),
    ...(kmsKeyId !== undefined && { SSEKMSKeyId: kmsKeyId }),
  };
}

/** What an answer tells of an object's encryption. */
export interface ToldEncryption {
  readonly ServerSideEncryption?: string | undefined;
  readonly SSEKMSKeyId?: string | undefined;
  readonly VersionId?: string | undefined;
}

/** What is wrong with an object's encryption; undefined when it is as required. */
export function otherKeyOf(options: S3Options, told: ToldEncryption): string | undefined {
  const { ServerSideEncryption: wanted, SSEKMSKeyId: key } = encryptionInput(options);
  if (wanted === undefined) return undefined;
  const { ServerSideEncryption: used, SSEKMSKeyId: usedKey } = told;
  if (used === undefined) return `the service did not say that it encrypted it with ${wanted}`;
  if (wanted !== "AES256" && used !== wanted) return `it was encrypted with ${used}, not ${wanted}`;
  if (key === undefined || isSameKey(key, usedKey)) return undefined;
  return `it was encrypted with the key ${usedKey ?? "of the service"}, not ${key}`;
}

/**
 * Answers name keys by ARN; settings may name them by id or by alias too. What an alias stands for is known to KMS
 * alone, so any key is believed to be the one meant.
 */
function isSameKey(wanted: string, used: string | undefined): boolean {
  if (used === undefined) return false;
  if (used === wanted || /(?:^|:)alias\//.test(wanted)) return true;
  return !wanted.startsWith("arn:") && used.endsWith(`/${wanted}`);
}

/** Removes the object just written and throws STORAGE_WRONG_KEY when it is not encrypted as required. */
export async function refuseOtherKey(
  bucket: Bucket,
  key: string,
  told: ToldEncryption,
): Promise<void> {
  const why = otherKeyOf(bucket.options, told);
  if (why === undefined) return;
  const { VersionId } = told;
  const command = new bucket.client.sdk.DeleteObjectCommand({
    ...bucket.nameOf(key),
    ...(VersionId !== undefined && VersionId !== "" && { VersionId }),
  });
  let fate = "it was deleted";
  try {
    const permission = "s3:DeleteObject";
    await bucket.client.send(command, { kind: "delete", what: `delete ${key}`, permission });
  } catch {
    fate = "it could not be deleted and is still there";
  }
  throw wrongKey(key, `${why}; ${fate}`);
}

export function wrongKey(key: string, why: string): HoldfastError {
  return new HoldfastError("STORAGE_WRONG_KEY", `cannot write ${key}: ${why}`, {
    hint: "Check the key given with s3.kms-key, and what the bucket's policy and the service allow.",
  });
}
