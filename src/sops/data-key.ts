// Gets at the data key of a document: tries the wrapped keys of each group in an order that asks this machine before any service,
// and puts the shares of several groups together. Implements docs/formats/sops.md#key-groups.

import { HoldfastError } from "../base/errors.ts";
import { DATA_KEY_BYTES } from "./cipher.ts";
import type { SopsDocument } from "./document.ts";
import type { KeyContext, OpenKey, WrappedKey } from "./key-source.ts";
import { combineShares } from "./shamir.ts";

/** What became of one key that was tried. */
export interface TriedKey {
  readonly key: WrappedKey;
  /** From 0. */
  readonly group: number;
  readonly opened: boolean;
  /** Where it was found, or why it did not open. */
  readonly explanation: string;
}

export interface RetrievedKey {
  readonly dataKey: Uint8Array;
  readonly tried: readonly TriedKey[];
}

/** Kinds that are opened without leaving the machine. */
const FIRST: readonly string[] = ["age", "pgp"];

/** The keys of a group with those first, otherwise as in the file. */
function inOrder(group: readonly WrappedKey[]): WrappedKey[] {
  const rank = ({ kind }: WrappedKey): number =>
    FIRST.includes(kind) ? FIRST.indexOf(kind) : FIRST.length;
  return group.toSorted((a, b) => rank(a) - rank(b));
}

/** Tries the keys of one group until one opens. */
async function openGroup(
  keys: readonly WrappedKey[],
  group: number,
  open: (key: WrappedKey) => ReturnType<OpenKey>,
  tried: TriedKey[],
): Promise<Uint8Array | undefined> {
  for (const key of inOrder(keys)) {
    const attempt = await open(key);
    if (attempt.opened) {
      tried.push({ key, group, opened: true, explanation: attempt.where });
      return attempt.dataKey;
    }
    tried.push({ key, group, opened: false, explanation: attempt.reason });
  }
  return undefined;
}

function noKey(
  { name, recipients, metadata }: SopsDocument,
  tried: readonly TriedKey[],
): HoldfastError {
  const lines = tried.map(({ key, group, explanation }) => {
    const where = recipients.length > 1 ? `group ${group + 1}, ` : "";
    return `  ${where}${key.kind} ${key.id}: ${explanation.replaceAll("\n", "\n    ")}`;
  });
  const needed =
    recipients.length > 1
      ? `fewer than ${metadata.threshold} of its ${recipients.length} key groups open here`
      : tried.length === 0
        ? "it is encrypted to nobody"
        : "no key on this machine opens it";
  return new HoldfastError("SOPS_NO_KEY", [`${name}: ${needed}`, ...lines].join("\n"), {
    hint: "Bring one of these keys to this machine, for instance in SOPS_AGE_KEY_FILE.",
  });
}

/** The data key of a document. Throws SOPS_NO_KEY with all that was tried. */
export async function retrieveDataKey(
  document: SopsDocument,
  openKey: OpenKey,
  context: KeyContext,
): Promise<RetrievedKey> {
  const tried: TriedKey[] = [];
  const { recipients, metadata, name } = document;
  const shares: Uint8Array[] = [];
  for (const [index, keys] of recipients.entries()) {
    if (shares.length === metadata.threshold) break;
    const share = await openGroup(keys, index, (key) => openKey(key, context), tried);
    if (share) shares.push(share);
  }
  if (shares.length < metadata.threshold) throw noKey(document, tried);
  const dataKey = recipients.length === 1 ? shares[0] : combineShares(shares);
  if (dataKey?.length === DATA_KEY_BYTES) return { dataKey, tried };
  throw new HoldfastError("SOPS_INVALID", `${name}: what its keys open is no data key`);
}
