// The variables of a mover's container (volsync's, by their names), as a list in the order of their names. Values of the Secret
// stay in it: the list refers to its keys. A key that says what programs run, or that the operator itself sets, is left out.

import type { EnvVar } from "../cluster/kube-object.ts";
import type { OperatorSettings } from "../context.ts";
import { GUESSED, PLACE, VARIABLE, type IdentityKind } from "../mover-variables.ts";
import type { ForgetPlan, RunPlan } from "../run-plan.ts";
import type { MoverSecret } from "./secret.ts";

/** Keys that a Secret may have besides RCLONE_* and HOLDFAST_*. */
const OPTIONAL: ReadonlySet<string> = new Set([
  ...withPrefix("RESTIC_", "COMPRESSION PACK_SIZE READ_CONCURRENCY"),
  ...withPrefix("AWS_", "ACCESS_KEY_ID SECRET_ACCESS_KEY SESSION_TOKEN DEFAULT_REGION PROFILE"),
  ...withPrefix("RESTIC_AWS_ASSUME_ROLE_", "ARN SESSION_NAME EXTERNAL_ID POLICY REGION"),
  "RESTIC_AWS_ASSUME_ROLE_STS_ENDPOINT",
  ...withPrefix("ST_", "AUTH USER KEY"),
  ...withPrefix("OS_", "AUTH_URL REGION_NAME USERNAME USER_ID PASSWORD TENANT_ID TENANT_NAME"),
  ...withPrefix("OS_", "USER_DOMAIN_NAME USER_DOMAIN_ID PROJECT_NAME PROJECT_DOMAIN_NAME"),
  ...withPrefix("OS_", "PROJECT_DOMAIN_ID TRUST_ID STORAGE_URL AUTH_TOKEN"),
  ...withPrefix("OS_APPLICATION_CREDENTIAL_", "ID NAME SECRET"),
  ...withPrefix("B2_ACCOUNT_", "ID KEY"),
  ...withPrefix("AZURE_", "ACCOUNT_NAME ACCOUNT_KEY ACCOUNT_SAS ENDPOINT_SUFFIX TENANT_ID"),
  ...withPrefix("AZURE_", "CLIENT_ID FEDERATED_TOKEN_FILE"),
  "GOOGLE_PROJECT_ID",
  ...withPrefix("RESTIC_REST_", "USERNAME PASSWORD"),
]);

/** Of ours, what a Secret may set: options of storages (the key that every object must carry, above all) and of the engine. */
const OURS =
  /^HOLDFAST_(?:(?:GS|S3|REST|RCLONE|LOCAL)_[A-Z0-9_]+|COMPRESSION|PACK_SIZE|READ_CONCURRENCY|LIMIT_(?:UPLOAD|DOWNLOAD)|STUCK_REQUEST_TIMEOUT|HTTP_USER_AGENT|DEBUG)$/;
/** Whoever may write the Secret may not run programs of their choice here, nor let others do so, nor lift a protection. */
const NEVER =
  /^(?:HOLDFAST_RCLONE_(?:PROGRAM|ARGS|NATIVE)|HOLDFAST_[A-Z0-9]+_ALLOW_.*|RCLONE_(?:RC(?:_.*)?|PASSWORD_COMMAND|METADATA_MAPPER|(?:.*_)?(?:SSH|BEARER_TOKEN_COMMAND|SHARED_CREDENTIALS_FILE)))$/i;
const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

export const GOOGLE_CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS";

export interface EnvironmentInput {
  readonly plan: RunPlan;
  readonly secret: MoverSecret;
  readonly settings: Pick<OperatorSettings, "proxyVariables">;
  /** `namespace/name` of the claim that is backed up or restored into, and its UID. */
  readonly claim: string;
  readonly claimUid: string | undefined;
  readonly pointInTime: string | undefined;
  readonly privileged: boolean;
  readonly debug: boolean;
  readonly hasCustomCa: boolean;
  readonly deadOwners: readonly string[];
  /** How it was found who the mover is; absent: nothing is told. */
  readonly identityKind?: IdentityKind | undefined;
  readonly rootAllowed?: boolean | undefined;
  /** Something is mounted at /cache. */
  readonly hasCache: boolean;
}

/** The keys of the Secret that become variables. */
export function passedKeys(keys: readonly string[]): string[] {
  return keys.filter(
    (key) =>
      VARIABLE_NAME.test(key) &&
      !NEVER.test(key) &&
      (key === "RESTIC_REPOSITORY" ||
        key === "RESTIC_PASSWORD" ||
        key.startsWith("RCLONE_") ||
        OPTIONAL.has(key) ||
        OURS.test(key)),
  );
}

/** All variables, sorted by name. */
export function moverEnvironment(input: EnvironmentInput): EnvVar[] {
  const { secret, settings } = input;
  const variables = new Map<string, EnvVar>();
  for (const key of passedKeys(secret.keys)) {
    variables.set(key, { name: key, valueFrom: { secretKeyRef: { name: secret.name, key } } });
  }
  // What the operator says comes last: a Secret cannot take its place.
  const said = { ...settings.proxyVariables, ...operatorVariables(input) };
  for (const [name, value] of Object.entries(said)) {
    if (value !== undefined) variables.set(name, { name, value: verbatim(value) });
  }
  return [...variables.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The kubelet puts other variables in the place of $(NAME): a field of a resource could so have a Secret's value told. $$ is a dollar. */
export function verbatim(text: string): string {
  return text.replaceAll("$", "$$$$");
}

function operatorVariables(input: EnvironmentInput): Record<string, string | undefined> {
  const { plan, secret, privileged, debug, deadOwners } = input;
  const flag = (on: boolean | undefined): string | undefined => (on === true ? "1" : undefined);
  return {
    [VARIABLE.dataFolder]: PLACE.data,
    // Without a cache of its own the mover has none: /tmp is memory.
    [VARIABLE.cacheFolder]: input.hasCache ? PLACE.cache : undefined,
    [VARIABLE.run]: plan.id,
    [VARIABLE.mode]: plan.mode,
    [VARIABLE.claim]: input.claim,
    [VARIABLE.claimUid]: input.claimUid,
    [VARIABLE.lockWait]: "2m",
    [VARIABLE.privileged]: privileged ? "1" : "0",
    [VARIABLE.identity]: input.identityKind,
    [VARIABLE.rootAllowed]: flag(
      input.rootAllowed === true && GUESSED.has(input.identityKind ?? ""),
    ),
    [VARIABLE.debug]: flag(debug),
    [VARIABLE.customCa]: input.hasCustomCa ? PLACE.customCa : undefined,
    [VARIABLE.deadOwners]: deadOwners.length > 0 ? deadOwners.join(",") : undefined,
    [GOOGLE_CREDENTIALS]: secret.keys.includes(GOOGLE_CREDENTIALS)
      ? PLACE.googleCredentials
      : undefined,
    ...(plan.role === "source" ? sourceVariables(input) : destinationVariables(plan)),
  };
}

function sourceVariables({
  plan,
  pointInTime,
}: EnvironmentInput): Record<string, string | undefined> {
  return {
    [VARIABLE.forgetOptions]: forgetOptions(plan.forget ?? {}),
    [VARIABLE.pointInTime]: pointInTime,
    [VARIABLE.acceptShrink]: plan.acceptShrink || undefined,
    [VARIABLE.excludeCaches]: plan.excludeCaches === true ? "1" : undefined,
  };
}

function destinationVariables({ restore }: RunPlan): Record<string, string | undefined> {
  return {
    [VARIABLE.restoreAsOf]: restore?.asOf,
    [VARIABLE.selectPrevious]: restore?.previous === undefined ? undefined : `${restore.previous}`,
    [VARIABLE.restoreOptions]: restore?.delete === true ? "--delete" : undefined,
  };
}

/** The keep rules as options of restic's forget, in VolSync's order. No rule keeps the last one alone: VolSync's default. */
export function forgetOptions(plan: ForgetPlan): string {
  const units = ["hourly", "daily", "weekly", "monthly", "yearly", "within", "last"] as const;
  const options = units.flatMap((unit) => {
    const value = plan[unit];
    return value === undefined || value === "" || value === 0 ? [] : [`--keep-${unit} ${value}`];
  });
  return options.length > 0 ? options.join(" ") : "--keep-last 1";
}

function withPrefix(prefix: string, names: string): string[] {
  return names.split(" ").map((name) => prefix + name);
}
