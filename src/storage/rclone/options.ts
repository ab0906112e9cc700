// What we know of the options of the backends that we can stand in for: which we honour, which make no difference to us,
// and which make none while they have their default. Whatever is not here belongs to rclone alone.

/** "map": honoured by src/storage/rclone/mapping.ts. "any": harmless. A text: harmless while it is this default. */
export type OptionRule = "map" | "any" | { readonly only: readonly string[] };

const off: OptionRule = { only: ["false"] };
const unset: OptionRule = { only: [""] };
const isPrivate: OptionRule = { only: ["", "private"] };

function rules(names: string, rule: OptionRule): [string, OptionRule][] {
  return names.split(" ").map((name) => [name, rule]);
}

const GCS: [string, OptionRule][] = [
  ...rules(
    "service_account_credentials service_account_file access_token anonymous env_auth",
    "map",
  ),
  ...rules("endpoint storage_class user_project", "map"),
  // Buckets are never made, access lists never sent, names never need an encoding.
  ...rules("project_number location no_check_bucket bucket_policy_only description", "any"),
  ...rules("object_acl bucket_acl", isPrivate),
  ...rules("decompress client_credentials", off),
  // Folders are no objects to us; as objects they would lie beside the repository's.
  ...rules("directory_markers", off),
  ...rules("client_id client_secret token auth_url token_url", unset),
  ["encoding", { only: ["Slash,CrLf,InvalidUtf8,Dot"] }],
];

const S3: [string, OptionRule][] = [
  ...rules("provider env_auth access_key_id secret_access_key session_token profile", "map"),
  ...rules("region endpoint force_path_style role_arn role_session_name", "map"),
  ...rules("server_side_encryption sse_kms_key_id storage_class", "map"),
  ...rules("location_constraint no_check_bucket description upload_cutoff chunk_size", "any"),
  ...rules("max_upload_parts copy_cutoff upload_concurrency disable_checksum", "any"),
  ...rules("leave_parts_on_error list_chunk list_version list_url_encode no_head", "any"),
  ...rules("no_head_object memory_pool_flush_time memory_pool_use_mmap disable_http2", "any"),
  ...rules("use_multipart_etag use_unsigned_payload use_presigned_request might_gzip", "any"),
  ...rules("use_multipart_uploads use_already_exists use_x_id sign_accept_encoding", "any"),
  ...rules("use_data_integrity_protections use_accept_encoding_gzip sdk_log_mode", "any"),
  ...rules("no_system_metadata list_versions_oldest_first object_lock_supported", "any"),
  ...rules("acl bucket_acl", isPrivate),
  ...rules("requester_pays v2_auth use_dual_stack use_accelerate_endpoint use_arn_region", off),
  ...rules("versions version_deleted decompress directory_bucket directory_markers", off),
  ...rules("bypass_governance_retention bucket_object_lock_enabled", off),
  ...rules("object_lock_set_after_upload", off),
  ...rules("sse_customer_algorithm sse_customer_key sse_customer_key_base64", unset),
  ...rules("sse_customer_key_md5 shared_credentials_file role_external_id download_url", unset),
  ...rules("role_session_duration sts_endpoint ibm_api_key ibm_resource_instance_id", unset),
  ...rules("ibm_iam_endpoint object_lock_mode object_lock_retain_until_date", unset),
  ...rules("object_lock_legal_hold_status", unset),
  ["version_at", { only: ["", "off"] }],
  ["encoding", { only: ["Slash,InvalidUtf8,Dot"] }],
];

const LOCAL: [string, OptionRule][] = [
  ...rules("nounc zero_size_links unicode_normalization no_check_updated no_clone", "any"),
  ...rules("no_preallocate no_sparse no_set_modtime time_type hashes skip_specials", "any"),
  ...rules("metadata_restore_special_bits fatal_if_no_space description", "any"),
  ...rules("copy_links links skip_links one_file_system case_sensitive case_insensitive", off),
  ["encoding", { only: ["Slash,Dot"] }],
];

const ALIAS: [string, OptionRule][] = [
  ["remote", "map"],
  ["description", "any"],
];

/** By backend, and then by option. A backend that is not here is reached through rclone. */
export const OPTION_RULES: ReadonlyMap<string, ReadonlyMap<string, OptionRule>> = new Map([
  ["gcs", new Map(GCS)],
  ["s3", new Map(S3)],
  ["local", new Map(LOCAL)],
  ["alias", new Map(ALIAS)],
]);

/** Providers whose S3 is plain enough; the others have rclone's workarounds for a reason. */
export const PLAIN_PROVIDERS: ReadonlySet<string> = new Set([
  "",
  "AWS",
  "Ceph",
  "Cloudflare",
  "Minio",
  "Other",
  "Rclone",
  "SeaweedFS",
]);

/** Variables of rclone that change what goes over the wire or which objects are seen, whatever the backend is. */
const GLOBAL = new Set(
  [
    "backup_dir bind bwlimit bwlimit_file ca_cert client_cert client_key client_pass compare_dest",
    "copy_dest default_time disable disable_http_keep_alives dry_run dscp dump header",
    "header_download header_upload http_proxy ignore_existing immutable interactive links",
    "copy_links skip_links one_file_system max_connections max_delete max_delete_size",
    "max_duration max_transfer metadata metadata_mapper metadata_set name_transform",
    "no_check_certificate tpslimit use_cookies delete_excluded exclude exclude_from",
    "exclude_if_present files_from files_from_raw filter filter_from hash_filter include",
    "include_from max_age max_depth max_size metadata_exclude metadata_filter metadata_include",
    "min_age min_size",
  ].flatMap((names) => names.split(" ")),
);
const NOTHING = new Set(["", "0", "false", "f", "off", "-1"]);

/** The variables of rclone itself that we would not obey. */
export function globalVariables(env: Readonly<Record<string, string | undefined>>): string[] {
  return Object.entries(env)
    .filter(([key, value]) => {
      const name = /^RCLONE_([A-Z0-9_]+)$/.exec(key)?.[1]?.toLowerCase();
      return name !== undefined && GLOBAL.has(name) && !NOTHING.has(value?.toLowerCase() ?? "");
    })
    .map(([key]) => key)
    .toSorted();
}
