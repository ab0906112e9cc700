// Objects in a bucket of S3, or of another service with its interface.

export type S3Credentials =
  | {
      readonly kind: "keys";
      readonly accessKeyId: string;
      readonly secretAccessKey: string;
      readonly sessionToken?: string | undefined;
    }
  /** What the environment given offers: variables, profile files, web identity, the container's or machine's role. */
  | { readonly kind: "default"; readonly profile?: string | undefined }
  /** Unsigned requests. */
  | { readonly kind: "anonymous" };

export interface S3Options {
  readonly bucket: string;
  /** "" or a path with a final "/" below which all keys lie. */
  readonly prefix: string;
  readonly credentials: S3Credentials;
  /** Address of the service with its scheme; Amazon's by default. */
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  /** bucket in the path instead of the host name; by default for everything but Amazon. */
  readonly pathStyle?: boolean | undefined;
  readonly assumeRole?:
    | { readonly arn: string; readonly sessionName?: string | undefined }
    | undefined;
  /** "AES256" or "aws:kms". */
  readonly serverSideEncryption?: string | undefined;
  /** The key of "aws:kms"; when given, anything else in an answer is refused. */
  readonly kmsKeyId?: string | undefined;
  /** Of packs and archives; what is read or deleted often stays in STANDARD. */
  readonly storageClass?: string | undefined;
  readonly connections?: number | undefined;
  /** Where it is, for people; `s3:endpoint/bucket/prefix` by default. */
  readonly location?: string | undefined;
}
