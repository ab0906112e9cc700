// Remotes of rclone. Plain ones (Cloud Storage, S3, directories) are reached without rclone, with all that our own clients
// do better; everything else through `rclone serve restic` as a child. Which way was taken is told, and why
// (docs/decisions/storage.md#rclone).

import { toHex } from "../base/bytes.ts";
import { HoldfastError } from "../base/errors.ts";
import type { BackendContext } from "./backend.ts";
import { forwarding } from "./forwarding.ts";
import { withConnections, withRates } from "./limited.ts";
import { redactLocation } from "./location.ts";
import { backendOf, remoteConfig } from "./rclone/config.ts";
import { readConfigFile } from "./rclone/config-file.ts";
import type { ConfigFile } from "./rclone/config-file.ts";
import { parseRemotePath } from "./rclone/connection-string.ts";
import { mapRemote } from "./rclone/mapping.ts";
import type { Native } from "./rclone/mapping.ts";
import { openPipes, PIPES_URL } from "./rclone/pipes.ts";
import { RCLONE_CONNECTIONS, rcloneSettings } from "./rclone/settings.ts";
import type { RcloneSettings } from "./rclone/settings.ts";
import type { Storage } from "./storage.ts";

/** Opens what follows `rclone:` in a location. USAGE when the remote is not configured, or rclone is needed and missing. */
export async function openRcloneStorage(target: string, context: BackendContext): Promise<Storage> {
  const settings = rcloneSettings(context);
  const location = redactLocation(`rclone:${target}`);
  const file = await readConfigFile(context.env);
  const { name } = parseRemotePath(target);
  const remote = name === undefined ? "path" : `remote ${name}`;
  if (settings.native === "never") {
    return await openBinary(target, location, {
      settings,
      file,
      remote,
      why: "rclone.native is never",
      context,
    });
  }
  if (settings.native === "auto" && settings.insisted.length > 0) {
    const why = `${settings.insisted.join(" and ")} ${settings.insisted.length > 1 ? "are" : "is"} set`;
    return await openBinary(target, location, { settings, file, remote, why, context });
  }
  const mapping = mapRemote({ target, env: context.env, file, location });
  if ("native" in mapping)
    return await openNative(mapping.native, location, { settings, remote, context });
  const why = mapping.binary.join(", ");
  if (settings.native === "always") {
    throw new HoldfastError("USAGE", `${location} cannot be reached without rclone: ${why}`, {
      hint: "Leave -o rclone.native=always out.",
    });
  }
  return await openBinary(target, location, { settings, file, remote, why, context });
}

interface NativeOpening {
  settings: RcloneSettings;
  remote: string;
  context: BackendContext;
}

async function openNative(
  native: Native,
  location: string,
  { settings, remote, context }: NativeOpening,
): Promise<Storage> {
  const tell = (service: string): void =>
    context.notice(`rclone ${remote}: read natively (${service})`);
  const { connections } = settings;
  if (native.kind === "gcs") {
    tell("Google Cloud Storage");
    const { openGcsStorage } = await import("./gcs.ts");
    const { settingsOf } = await import("./gcs/settings.ts");
    const own = settingsOf(context);
    const { options } = native;
    // Settings of the remote come first; an emulator's variable means nothing to rclone.
    const all = {
      ...options,
      endpoint: options.endpoint ?? context.option("gs.endpoint"),
      kmsKeyName: own.kmsKeyName,
      storageClass: options.storageClass ?? own.storageClass,
      userProject: options.userProject ?? own.userProject,
      connections: connections ?? own.connections,
    };
    return await openGcsStorage(all, context);
  }
  if (native.kind === "s3") {
    tell("S3");
    const { openS3Storage } = await import("./s3.ts");
    const { settingsOf } = await import("./s3/settings.ts");
    const own = settingsOf(context);
    const { options } = native;
    const isKeyOurs = own.serverSideEncryption !== undefined || own.kmsKeyId !== undefined;
    const { serverSideEncryption, kmsKeyId } = isKeyOurs ? own : options;
    const all = {
      ...options,
      serverSideEncryption,
      kmsKeyId,
      storageClass: options.storageClass ?? own.storageClass,
      connections: connections ?? own.connections,
    };
    return await openS3Storage(all, context);
  }
  tell("directory");
  const { openLocalStorage } = await import("./local.ts");
  const { create, random, upload, download } = context;
  const directory = await openLocalStorage({ root: native.root, create, random });
  const storage = withRates(forwarding(directory, { location }), { upload, download });
  return connections === undefined ? storage : withConnections(storage, connections);
}

interface BinaryOpening extends NativeOpening {
  file: ConfigFile;
  why: string;
}

async function openBinary(
  target: string,
  location: string,
  { settings, file, remote, why, context }: BinaryOpening,
): Promise<Storage> {
  refuseKeys(location, why, context);
  const { connections = RCLONE_CONNECTIONS, timeout, command } = settings;
  const { argument, env } = hideParameters(target, file, context);
  const { transport, version } = await openPipes({
    command: [...command, argument],
    env,
    connections,
    timeout,
    context,
  });
  const program = version === undefined ? "the program rclone" : `rclone ${version}`;
  context.notice(`rclone ${remote}: through ${program}, because of ${why}`);
  const { openRestStorage } = await import("./rest.ts");
  const url = new URL(PIPES_URL);
  return await openRestStorage({ url, location, connections, transport }, context);
}

/** A key that was asked for must not be left out in silence. */
function refuseKeys(location: string, why: string, { option }: BackendContext): void {
  const asked = ["gs.kms-key", "s3.kms-key"].find((name) => option(name) !== undefined);
  if (asked === undefined) return;
  const message = `${location} is reached through rclone (because of ${why}), which cannot honour ${asked}`;
  throw new HoldfastError("USAGE", message, {
    hint: `Drop ${asked} and rely on the bucket's default key, or name the bucket with a location of its own.`,
  });
}

/**
 * The remote as an argument, and its parameters as variables: everybody on the machine may read a command line. Variables
 * of the backend as a whole would win over those of a remote, so they make way.
 */
function hideParameters(
  target: string,
  file: ConfigFile,
  context: BackendContext,
): { argument: string; env: Record<string, string | undefined> } {
  const remote = parseRemotePath(target);
  const { name, parameters, path } = remote;
  const env: Record<string, string | undefined> = { ...context.env };
  if (name === undefined || parameters.size === 0) return { argument: target, env };
  const isUnnamed = name.startsWith(":");
  const called = isUnnamed ? `holdfast_${toHex(context.random(4))}` : name;
  const type = isUnnamed ? backendOf(name.slice(1)) : remoteConfig(remote, context.env, file).type;
  const prefix = `RCLONE_CONFIG_${called.toUpperCase()}_`;
  if (isUnnamed) env[`${prefix}TYPE`] = name.slice(1);
  for (const [option, value] of parameters) {
    env[prefix + option.toUpperCase()] = value;
    if (type !== undefined) delete env[`RCLONE_${type.toUpperCase()}_${option.toUpperCase()}`];
  }
  return { argument: `${called}:${path}`, env };
}
