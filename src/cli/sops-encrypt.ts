// A plain file becomes a SOPS file, for whom and in which of its values a `.sops.yaml` says.

import { readFile } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { errnoOf, HoldfastError, messageOf } from "../base/errors.ts";
import { creationRule } from "../sops/creation-rules.ts";
import type { CreationRule } from "../sops/creation-rules.ts";
import { decryptDocument } from "../sops/decrypt.ts";
import { openDocument } from "../sops/document.ts";
import { encryptDocument } from "../sops/encrypt.ts";
import type { KeyContext, WrappedKey } from "../sops/key-source.ts";
import { wrapKey } from "../sops/keys.ts";
import { splitSecret } from "../sops/shamir.ts";
import type { Context } from "./command.ts";
import { keyContext } from "./key-context.ts";
import { sopsTime, warnOfLeaks } from "./sops-file.ts";

const CONFIG = ".sops.yaml";
const DATA_KEY_BYTES = 32;

export interface EncryptFlags {
  /** The rules, in place of the nearest `.sops.yaml` above the file. */
  readonly config?: string;
  /** Ask no service. */
  readonly offline?: boolean;
}

/**
 * `content`, encrypted by the rules for a file at `path`. It was opened again before it is returned. USAGE when no rule is for
 * the file, SOPS_ENCRYPTED when it is encrypted already, SOPS_NO_KEY when the key of a recipient is not here.
 */
export async function encryptContent(
  context: Context,
  path: string,
  content: Uint8Array,
  flags: EncryptFlags,
): Promise<Uint8Array> {
  return (await prepareEncryption(context, path, flags))(content);
}

/** encryptContent in two steps: every recipient is tried, and then there may be some content. */
export async function prepareEncryption(
  context: Context,
  path: string,
  flags: EncryptFlags,
): Promise<(content: Uint8Array) => Uint8Array> {
  const { groups, threshold, rule, macOnlyEncrypted } = await requireRule(context, path, flags);
  const dataKey = context.random(DATA_KEY_BYTES);
  const needed = threshold ?? groups.length;
  const shares =
    groups.length === 1
      ? [dataKey]
      : splitSecret(dataKey, { count: groups.length, threshold: needed }, context.random);
  const keys = keyContext(context, flags.offline ?? false);
  const wrapped = await wrapShares(groups, shares, keys);
  return (content) => {
    const encrypted = encryptDocument(content, {
      name: path,
      groups: wrapped,
      threshold,
      rule,
      macOnlyEncrypted,
      lastModified: sopsTime(context),
      dataKey,
      random: context.random,
    });
    const document = openDocument(encrypted, { name: path });
    if (decryptDocument(document, dataKey).mac === "right") {
      warnOfLeaks(context, document);
      return encrypted;
    }
    throw new HoldfastError("SOPS_INVALID", `${path} could not be opened again; it is as it was`);
  };
}

async function wrapShares(
  groups: CreationRule["groups"],
  shares: readonly Uint8Array[],
  keys: KeyContext,
): Promise<WrappedKey[][]> {
  const wrapped: WrappedKey[][] = [];
  for (const [index, recipients] of groups.entries()) {
    const group: WrappedKey[] = [];
    for (const { kind, id, aws } of recipients) {
      const enc = await wrapKey(kind, id, shares[index]!, keys, aws);
      group.push({ kind, id, enc, createdAt: undefined, aws });
    }
    wrapped.push(group);
  }
  return wrapped;
}

/** The rule for a file at `path`. USAGE when there is none. */
async function requireRule(
  { environment }: Context,
  path: string,
  flags: EncryptFlags,
): Promise<CreationRule> {
  const config = (flags.config ?? environment["SOPS_CONFIG"]) || undefined;
  const found = config === undefined ? await nearestConfig(path) : await readConfig(config);
  if (found === undefined) {
    const what =
      config === undefined ? `no ${CONFIG} stands above ${path}` : `${config} does not exist`;
    throw new HoldfastError("USAGE", what, {
      hint: `A ${CONFIG} says to whom files are encrypted: creation_rules with age: or pgp:. Or name one with --config.`,
    });
  }
  const place = relative(dirname(resolve(found.name)), resolve(path))
    .split(sep)
    .join("/");
  const rule = creationRule(found, place);
  if (rule !== undefined && rule.groups.some((group) => group.length > 0)) return rule;
  const what = rule === undefined ? `has no rule for ${place}` : `names no key for ${place}`;
  throw new HoldfastError("USAGE", `${found.name} ${what}`);
}

interface Config {
  name: string;
  text: string;
}

async function nearestConfig(path: string): Promise<Config | undefined> {
  for (let folder = dirname(resolve(path)); ; folder = dirname(folder)) {
    const found = await readConfig(join(folder, CONFIG));
    if (found !== undefined || folder === dirname(folder)) return found;
  }
}

async function readConfig(name: string): Promise<Config | undefined> {
  try {
    return { name, text: await readFile(name, "utf8") };
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw new HoldfastError("USAGE", `${name} cannot be read: ${messageOf(error)}`);
  }
}
