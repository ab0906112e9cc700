// Data keys under a key of Google's Cloud KMS, by its REST interface. The resource comes out of a document that anybody may
// have written, and a request carries our token: nothing but a key's name gets into the address, and the token leaves
// this machine over TLS only. Both directions are checked by CRC-32C, as Google advises.

import { crc32c } from "../../base/crc32c.ts";
import { objectIn } from "../../base/json-object.ts";
import { HoldfastError } from "../../base/errors.ts";
import type { GivenKey, KeyAttempt, KeyContext, WrappedKey } from "../key-source.ts";
import { givenPlaces } from "./given.ts";
import { plain, tryPlaces, whyNot } from "./places.ts";

const NAME =
  /^projects\/[a-z0-9][a-z0-9.:-]{2,62}\/locations\/[a-z0-9-]{1,40}\/keyRings\/[\w-]{1,63}\/cryptoKeys\/[\w-]{1,63}$/;
const SCOPE = "https://www.googleapis.com/auth/cloud-platform";
const ENC_MAX = 131_072;
const ANSWER_MAX = 1 << 20;

/** Asks Cloud KMS to decrypt `key`, with given credentials first. Throws as OpenKey does. */
export async function openGcpKms(key: WrappedKey, context: KeyContext): Promise<KeyAttempt> {
  const look = async (credentials?: GivenKey): Promise<Uint8Array | string> => {
    if (!NAME.test(key.id)) return `no name of a key: ${plain(key.id)}`;
    if (context.offline) return "not asked: --offline";
    if (key.enc.length > ENC_MAX || !isBase64(key.enc)) return "the wrapped key is not base64";
    const checksum = String(crc32c(Buffer.from(key.enc, "base64")));
    const body = { ciphertext: key.enc, ciphertextCrc32c: checksum };
    const answer = await call({ id: key.id, verb: "decrypt", body, credentials }, context);
    if (typeof answer === "string") return answer;
    const plaintext = answer["plaintext"];
    return checked(plaintext, answer["plaintextCrc32c"]) ?? "its answer is damaged";
  };
  const given = await givenPlaces(context, "gcpKms", look);
  return tryPlaces([...given, { name: "Cloud KMS", look: () => look() }], context);
}

/** `dataKey` encrypted by Cloud KMS with the key `id`. USAGE, SOPS_NO_KEY. */
export async function wrapGcpKms(
  id: string,
  dataKey: Uint8Array,
  context: KeyContext,
): Promise<string> {
  if (!NAME.test(id)) {
    throw new HoldfastError("USAGE", `no name of a Cloud KMS key: ${plain(id)}`, {
      hint: "write projects/P/locations/L/keyRings/R/cryptoKeys/K, without a version",
    });
  }
  const refuse = (why: string): never => {
    throw new HoldfastError("SOPS_NO_KEY", `cannot encrypt with the Cloud KMS key ${id}: ${why}`, {
      hint: "give the account the role roles/cloudkms.cryptoKeyEncrypterDecrypter on the key",
    });
  };
  if (context.offline) return refuse("not asked: --offline");
  const body = {
    plaintext: Buffer.from(dataKey).toString("base64"),
    plaintextCrc32c: String(crc32c(dataKey)),
  };
  const given = (await context.given())?.gcpKms ?? [];
  const reasons: string[] = [];
  for (const credentials of [...given, undefined]) {
    const answer = await call({ id, verb: "encrypt", body, credentials }, context);
    if (typeof answer !== "string") return encryptedIn(answer) ?? refuse("its answer is damaged");
    reasons.push(credentials === undefined ? answer : `${credentials.name}: ${answer}`);
  }
  return refuse(reasons.join("; "));
}

/** The ciphertext of an answer, when it is whole and is of what was sent. */
function encryptedIn(answer: Record<string, unknown>): string | undefined {
  const whole = checked(answer["ciphertext"], answer["ciphertextCrc32c"]);
  if (!whole || answer["verifiedPlaintextCrc32c"] !== true) return undefined;
  return Buffer.from(whole).toString("base64");
}

function isBase64(text: string): boolean {
  return text.length > 0 && Buffer.from(text, "base64").toString("base64") === text;
}

/** The bytes of `text` when their checksum is the one stated. */
function checked(text: unknown, checksum: unknown): Uint8Array | undefined {
  if (typeof text !== "string" || !isBase64(text)) return undefined;
  const bytes = Buffer.from(text, "base64");
  return String(crc32c(bytes)) === checksum ? bytes : undefined;
}

/** Where Cloud KMS is asked: the address, or why the one that is set cannot be used. */
function endpoint(env: KeyContext["env"]): { address: string } | { refused: string } {
  const given = env["SOPS_GCP_KMS_ENDPOINT"];
  if (!given) {
    const universe = env["SOPS_GCP_KMS_UNIVERSE_DOMAIN"] || "googleapis.com";
    const named = /^[a-z0-9-]+(\.[a-z0-9-]+)+$/i.test(universe);
    if (!named) return { refused: "SOPS_GCP_KMS_UNIVERSE_DOMAIN is no domain" };
    return { address: `https://cloudkms.${universe}` };
  }
  const url = URL.parse(given.includes("://") ? given : `https://${given}`);
  const local = url && ["127.0.0.1", "localhost", "[::1]"].includes(url.hostname);
  const bare = url && !url.username && !url.password && !url.search && !url.hash;
  if (!bare || !(url.protocol === "https:" || (local && url.protocol === "http:"))) {
    return { refused: "SOPS_GCP_KMS_ENDPOINT must be https, or http on this machine" };
  }
  return { address: `${url.origin}${url.pathname}`.replace(/\/+$/, "") };
}

interface Request {
  readonly id: string;
  readonly verb: "encrypt" | "decrypt";
  readonly body: Readonly<Record<string, string>>;
  /** Undefined for those of this machine. */
  readonly credentials: GivenKey | undefined;
}

async function call(
  { id, verb, body, credentials }: Request,
  context: KeyContext,
): Promise<Record<string, unknown> | string> {
  const place = endpoint(context.env);
  if ("refused" in place) return place.refused;
  // What is no JSON would be taken for the path of a file.
  if (credentials && !objectIn(Buffer.from(credentials.content).toString("utf8"))) {
    return "no JSON of credentials";
  }
  let token: string;
  try {
    token = await context.googleToken(SCOPE, credentials);
  } catch (error) {
    if (context.signal?.aborted) throw error;
    return `no access token: ${whyNot(error)}`;
  }
  const { status, text } = await context.fetch(`${place.address}/v1/${id}:${verb}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = text.length > ANSWER_MAX ? undefined : objectIn(text);
  if (status === 200) return answer ?? "its answer is damaged";
  return refusal(status, answer, verb);
}

/** What a person can do about a refusal, with what Google said of it. */
function refusal(
  status: number,
  answer: Record<string, unknown> | undefined,
  verb: string,
): string {
  const error = answer?.["error"] as { message?: unknown } | null | undefined;
  const said = typeof error?.message === "string" ? ` (${plain(error.message)})` : "";
  if (status === 401) return `the access token is not valid${said}`;
  if (status === 403) return `the account may not ${verb} with this key${said}`;
  if (status === 404) return `there is no such key${said}`;
  if (status === 400) return `refused: the key is disabled or destroyed, or not the one${said}`;
  return `answered ${status}; ${status === 429 || status >= 500 ? "try again later" : "refused"}${said}`;
}
