// The Secret that says where a repository is and what opens it. It is looked at before a mover is made, so that what is missing
// or cannot be served is told at once and with its name. Values stay here: only names, and a hash, leave.

import { hash } from "node:crypto";
import { posix } from "node:path";
import { HoldfastError, isHoldfastError, messageOf } from "../../base/errors.ts";
import { parseLocation, SCHEMES } from "../../storage/location.ts";
import type { Scheme } from "../../storage/location.ts";
import { namesProgram } from "../../storage/rclone-programs.ts";
import type { Secret } from "../cluster/kube-object.ts";
import { SECRET } from "../cluster/kinds.ts";
import type { OperatorContext } from "../context.ts";
import { PLACE } from "../mover-variables.ts";
import { requireMountedSecrets } from "./mounted-secrets.ts";
import type { MoverOwner } from "./owner.ts";

export interface MoverSecret {
  readonly name: string;
  /**
   * SHA-256, hexadecimal, of which Secret it is and which version of it. Never of its values: the status shows this, and whoever
   * may read a resource could try passwords on it.
   */
  readonly hash: string;
  /** Names of its keys, sorted. */
  readonly keys: readonly string[];
  readonly scheme: Scheme;
  /** For `rclone:` the type of its remote, where the Secret says it. */
  readonly remote?: string | undefined;
}

/** What a repository cannot be opened without. */
const MANDATORY = ["RESTIC_REPOSITORY", "RESTIC_PASSWORD"] as const;

/** How a value begins that SOPS encrypted. */
const SOPS_VALUE = "ENC[AES256_GCM,";

/** Schemes of restic's that we do not speak ourselves, with what to use in their place. */
const UNSUPPORTED: Readonly<Partial<Record<Scheme, string>>> = {
  b2: "Use B2's S3 endpoint: s3:https://s3.REGION.backblazeb2.com/BUCKET with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
  azure: "Copy the repository to a storage that is served: gs:, s3:, rest:, rclone:, or a volume.",
  swift: "Use the S3 endpoint of the object store, if it has one: s3:https://HOST/CONTAINER.",
  sftp: "Mount the directory into the mover with moverVolumes (NFS or a claim), or serve it with rest-server.",
};

/** Types of rclone's remotes that are served without rclone, which the mover's image does not have. */
const REMOTES = ["google cloud storage", "s3", "local", "alias"] as const;

/**
 * Reads and checks the Secret, and that the others which a mover mounts are there. SECRET_INVALID or BACKEND_UNSUPPORTED, with
 * the fix; CLUSTER_* when one cannot be read.
 */
export async function readMoverSecret(
  context: Pick<OperatorContext, "api" | "signal"> & {
    readonly settings?: Pick<OperatorContext["settings"], "moversHaveRclone">;
  },
  owner: MoverOwner,
): Promise<MoverSecret> {
  const { namespace } = owner.metadata;
  const name = owner.spec.restic?.repository ?? "";
  if (name === "") {
    throw new HoldfastError("SECRET_INVALID", "spec.restic.repository names no Secret", {
      hint: "Set it to the name of a Secret with RESTIC_REPOSITORY and RESTIC_PASSWORD in the same namespace.",
    });
  }
  const { api, signal } = context;
  const secret = await api.get<Secret>(SECRET, { namespace, name }, { signal });
  if (secret === undefined) {
    throw new HoldfastError("SECRET_INVALID", `there is no Secret ${namespace}/${name}`, {
      hint: "Apply it in the namespace of the resource; where Flux decrypts it, look at the Kustomization that has it.",
      retryable: true,
    });
  }
  const read = inspectSecret(secret, {
    rclone: context.settings?.moversHaveRclone === true,
    mounts: mountsOf(owner),
  });
  await requireMountedSecrets(context, owner);
  return read;
}

/** Where moverVolumes mounts what, as folders without a "/" at their end. */
export function mountsOf({ spec }: Pick<MoverOwner, "spec">): string[] {
  return (spec.restic?.moverVolumes ?? []).map(({ mountPath }) =>
    posix.join(PLACE.mounts, mountPath).replace(/\/$/, ""),
  );
}

/** What the mover has. */
interface MoverEquipment {
  readonly rclone?: boolean;
  /** `mountsOf` its resource. Absent: nobody knows, and any path will do. */
  readonly mounts?: readonly string[];
}

/** What can be said of a Secret without asking anybody. Throws as `readMoverSecret` does. */
export function inspectSecret(secret: Secret, has: MoverEquipment = {}): MoverSecret {
  const { name, uid, resourceVersion } = secret.metadata;
  const data = secret.data ?? {};
  const text = (key: string): string => Buffer.from(data[key] ?? "", "base64").toString("utf8");
  const missing = MANDATORY.filter((key) => text(key) === "");
  if (missing.length > 0) {
    const isAre = missing.length === 1 ? "is" : "are";
    throw new HoldfastError(
      "SECRET_INVALID",
      `Secret ${name}: ${missing.join(" and ")} ${isAre} missing or empty`,
      { hint: `Add ${missing.join(" and ")} to the Secret.` },
    );
  }
  const sealed = MANDATORY.filter((key) => text(key).startsWith(SOPS_VALUE));
  if (sealed.length > 0) {
    throw new HoldfastError(
      "SECRET_INVALID",
      `Secret ${name} was applied without being decrypted: SOPS's ciphertext is in ${sealed.join(" and ")}`,
      {
        hint: "With Flux set spec.decryption in the Kustomization that has it; by hand: sops -d FILE | kubectl apply -f -",
      },
    );
  }
  const keys = Object.keys(data).sort();
  const version = hash("sha256", JSON.stringify([uid, resourceVersion]), "hex");
  return { name, hash: version, keys, ...checkBackend(name, text, keys, has) };
}

function checkBackend(
  name: string,
  text: (key: string) => string,
  keys: readonly string[],
  has: MoverEquipment,
): Pick<MoverSecret, "scheme" | "remote"> {
  const { scheme, target } = locationOf(name, text("RESTIC_REPOSITORY"));
  const fix = UNSUPPORTED[scheme];
  if (fix !== undefined) {
    throw new HoldfastError(
      "BACKEND_UNSUPPORTED",
      `Secret ${name}: repositories on ${scheme}: are not supported`,
      { hint: fix },
    );
  }
  if (scheme === "local" && has.mounts !== undefined) checkPath(name, target, has.mounts);
  if (scheme !== "rclone") return { scheme };
  refusePrograms(name, target, text, keys);
  const remote = remoteType(name, target, text, keys);
  const path = remotePath(target, text, keys);
  if (path !== undefined && has.mounts !== undefined) checkPath(name, path, has.mounts);
  const isSpoken = remote === undefined || REMOTES.some((known) => known === remote);
  if (isSpoken || has.rclone === true) return { scheme, remote };
  throw new HoldfastError(
    "BACKEND_UNSUPPORTED",
    `Secret ${name}: rclone remotes of type ${JSON.stringify(remote.slice(0, 40))} need rclone, which movers do not have`,
    {
      hint: `Movers serve ${REMOTES.join(", ")} themselves; for others, run the operator with the full image.`,
    },
  );
}

/** Any other folder of a mover is gone with its pod, and the backup with it: a success that stored nothing. */
function checkPath(name: string, target: string, mounts: readonly string[]): void {
  const path = posix.resolve("/", target);
  if (mounts.some((mount) => path === mount || path.startsWith(`${mount}/`))) return;
  // Told apart by its first word alone: the rest may be a secret in the wrong place.
  const scheme = SCHEMES.find((each) => each !== "local" && target.startsWith(`${each}/`));
  const where =
    mounts.length === 0
      ? "moverVolumes mounts nothing"
      : `moverVolumes mounts ${mounts.join(", ")}`;
  throw new HoldfastError(
    "SECRET_INVALID",
    scheme === undefined
      ? `Secret ${name}: RESTIC_REPOSITORY is a path that ends with the mover's pod: ${where}`
      : `Secret ${name}: RESTIC_REPOSITORY begins with "${scheme}/", so it is a path: a colon is missing behind "${scheme}"`,
    {
      hint: "Locations begin with gs:, s3:, rest: or rclone:, or are a path below /mnt that moverVolumes mounts.",
    },
  );
}

function refusePrograms(
  name: string,
  target: string,
  text: (key: string) => string,
  keys: readonly string[],
): void {
  const others = keys.filter((key) => /^RCLONE_.*_(?:REMOTE|UPSTREAMS)$/i.test(key));
  const at = namesProgram(target)
    ? "RESTIC_REPOSITORY"
    : others.find((key) => namesProgram(text(key)));
  if (at === undefined) return;
  throw new HoldfastError(
    "SECRET_INVALID",
    `Secret ${name}: ${at} has rclone run a program, which movers do not`,
    { hint: "Leave ssh, bearer_token_command and the like out of the remote." },
  );
}

/** The type that the Secret gives the remote; undefined where it does not say, as for one made up on the spot. */
function remoteType(
  secretName: string,
  target: string,
  text: (key: string) => string,
  keys: readonly string[],
): string | undefined {
  const [, name, end] = /^([\w.+@ -]+)([:,])/.exec(target) ?? [];
  if (name === undefined) return undefined;
  const wanted = `RCLONE_CONFIG_${name.replaceAll(/[^A-Za-z0-9]/g, "_").toUpperCase()}_TYPE`;
  const key = keys.find((each) => each.toUpperCase() === wanted);
  // A file of rclone's, which is mounted from elsewhere, may tell of it.
  if (key === undefined && end === ":" && !keys.includes("RCLONE_CONFIG")) {
    const known = keys.flatMap((each) => /^RCLONE_CONFIG_(.+)_TYPE$/i.exec(each)?.[1] ?? []);
    const others = known.map((each) => each.toLowerCase()).join(", ");
    throw new HoldfastError(
      "SECRET_INVALID",
      `Secret ${secretName}: rclone's remote "${name}" is not configured: ${wanted} is missing`,
      {
        hint: `Add it and what else the remote needs${others === "" ? "" : `, or name a remote that is configured (${others})`}.`,
      },
    );
  }
  return key === undefined ? undefined : text(key).trim() || undefined;
}

/** An alias of an alias of …; more is a circle, which the mover tells of. */
const ALIASES_MAX = 10;

/** The path of the mover's pod that the remote is in the end; undefined where it is none, or the Secret does not say. */
function remotePath(
  target: string,
  text: (key: string) => string,
  keys: readonly string[],
): string | undefined {
  let at = target;
  for (let i = 0; i < ALIASES_MAX; i += 1) {
    if (!at.includes(":") || /^[^:,]*\//.test(at)) return at;
    const [, backend, name, path = ""] =
      /^(?:(:[\w ]+)|([\w.+@ -]+))(?:,(?:"[^"]*"|'[^']*'|[^:"'])*)?:(.*)$/s.exec(at) ?? [];
    if (backend !== undefined) return backend === ":local" ? path : undefined;
    if (name === undefined) return undefined;
    const prefix = `RCLONE_CONFIG_${name.replaceAll(/[^A-Za-z0-9]/g, "_").toUpperCase()}_`;
    const option = (of: string): string => {
      const key = keys.find((each) => each.toUpperCase() === prefix + of);
      return key === undefined ? "" : text(key).trim();
    };
    const type = option("TYPE");
    if (type === "local") return path;
    const aliased = option("REMOTE");
    if (type !== "alias" || aliased === "") return undefined;
    at = /[:/]$/.test(aliased) || path === "" ? aliased + path : `${aliased}/${path}`;
  }
  return undefined;
}

function locationOf(name: string, location: string): { scheme: Scheme; target: string } {
  try {
    return parseLocation(location.trim());
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    // What is no location may be a secret in the wrong place; the message names a scheme at most.
    throw new HoldfastError(
      "BACKEND_UNSUPPORTED",
      `Secret ${name}: RESTIC_REPOSITORY: ${messageOf(error)}`,
      {
        hint: "Locations begin with gs:, s3:, rest:, rclone:, or are a path below /mnt that moverVolumes mounts.",
      },
    );
  }
}
