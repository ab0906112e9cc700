// The repository's config file (docs/formats/restic.md#config). Members that we do not know are kept, because another
// program that shares the repository relies on them; those that would change how data is cut are refused, because
// ignoring them would silently end deduplication.

import { HoldfastError } from "../base/errors.ts";
import type { Id } from "../base/bytes.ts";
import { goJson, JsonFields, jsonBytes } from "./json-fields.ts";

export interface RepositoryConfig {
  readonly version: 1 | 2;
  readonly id: Id;
  /** Irreducible polynomial of degree 53 over GF(2), bit i being the coefficient of x^i. */
  readonly chunkerPolynomial: bigint;
  /** Members of other programs, kept as they are. */
  readonly extra: Readonly<Record<string, unknown>>;
}

const KNOWN: ReadonlySet<string> = new Set(["version", "id", "chunker_polynomial"]);

const KIB = 1024;

/** rustic's members that select how files are cut, with the values that mean what restic does. */
const CHUNKER_MEMBERS: Readonly<Record<string, unknown>> = {
  chunker: "rabin",
  chunk_size: 1024 * KIB,
  chunk_min_size: 512 * KIB,
  chunk_max_size: 8192 * KIB,
};

/** The plaintext of the config file. */
export function encodeConfig(config: RepositoryConfig): Buffer {
  const members = {
    version: config.version,
    id: config.id,
    chunker_polynomial: config.chunkerPolynomial.toString(16),
    ...config.extra,
  };
  return jsonBytes(goJson(members));
}

/**
 * The config of a repository. Throws REPO_CONFIG_DAMAGED, or REPO_UNSUPPORTED for a version or a chunker that is not
 * ours. Whether the polynomial is irreducible is left to the chunker.
 */
export function decodeConfig(bytes: Uint8Array): RepositoryConfig {
  const fields = JsonFields.parse(bytes, "REPO_CONFIG_DAMAGED", "the repository's config");
  const version = fields.uint32("version");
  if (version === 0) throw fields.damaged("its version is not valid");
  if (version > 2) throw unsupported(`it has format version ${version}`);
  const id = fields.id("id");
  if (id === null) throw fields.damaged("it has no id");
  const polynomial = fields.text("chunker_polynomial");
  if (!/^[0-9a-f]{1,16}$/i.test(polynomial)) throw fields.damaged("its polynomial is not valid");
  const extra = fields.extra(KNOWN);
  checkChunker(extra);
  return { version: version as 1 | 2, id, chunkerPolynomial: BigInt(`0x${polynomial}`), extra };
}

function checkChunker(extra: Readonly<Record<string, unknown>>): void {
  for (const [member, expected] of Object.entries(CHUNKER_MEMBERS)) {
    const value = Object.hasOwn(extra, member) ? (extra[member] ?? expected) : expected;
    if (value !== expected) throw unsupported(`its ${member} is ${JSON.stringify(value)}`);
  }
}

function unsupported(why: string): HoldfastError {
  return new HoldfastError("REPO_UNSUPPORTED", `this repository cannot be used: ${why}`, {
    hint: "Use the program that made it, or a newer Holdfast.",
  });
}
