// Who may ask the double: access tokens that it issued or was told of, and tokens that a service account signed itself.
// Signatures, times, scopes and audiences are checked, because the real service does.

import { generateKeyPairSync, randomBytes, verify } from "node:crypto";
import { GcsError } from "./gcs-error.ts";

const TOKEN_SECONDS = 3600;
const SKEW_SECONDS = 60;
const SCOPES =
  /(?:^| )https:\/\/www\.googleapis\.com\/auth\/(?:devstorage\.(?:read_write|full_control)|cloud-platform)(?: |$)/;

interface Claims {
  readonly iss?: string;
  readonly scope?: string;
  readonly aud?: string;
  readonly iat?: number;
  readonly exp?: number;
}

export class Access {
  /** Access tokens that open everything, and when they expire. */
  readonly tokens: Map<string, number> = new Map<string, number>();
  /** How many tokens were exchanged for assertions. */
  exchanged = 0;
  readonly #accounts = new Map<string, string>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** A service account with a new key, as the JSON that its owner downloads. */
  createAccount(email: string, tokenUri = "https://oauth2.googleapis.com/token"): string {
    const { publicKey, privateKey } = generateKeyPairSync("rsa", {
      modulusLength: 2048,
      publicKeyEncoding: { type: "spki", format: "pem" },
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
    });
    this.#accounts.set(email, publicKey);
    return JSON.stringify({
      type: "service_account",
      project_id: "project",
      private_key_id: randomBytes(20).toString("hex"),
      private_key: privateKey,
      client_email: email,
      client_id: "1234567890",
      auth_uri: "https://accounts.google.com/o/oauth2/auth",
      token_uri: tokenUri,
      universe_domain: "googleapis.com",
    });
  }

  /** Throws 401 for a token that opens nothing. */
  authorize(authorization: string | undefined): void {
    const given = /^Bearer (.+)$/.exec(authorization ?? "")?.[1];
    const expires = given === undefined ? undefined : this.tokens.get(given);
    if (expires !== undefined && this.#now() < expires) return;
    if (given !== undefined && this.#isSelfSigned(given)) return;
    throw new GcsError(401, "authError", "Invalid Credentials");
  }

  /** The exchange of a signed assertion for an access token (RFC 7523); undefined when it is not accepted. */
  exchange(assertion: string, audience: string): { token: string; seconds: number } | undefined {
    const claims = this.#claimsOf(assertion);
    if (claims?.aud !== audience || !SCOPES.test(claims.scope ?? "")) return undefined;
    const token = `double.${randomBytes(12).toString("hex")}`;
    this.tokens.set(token, this.#now() + TOKEN_SECONDS * 1000);
    this.exchanged += 1;
    return { token, seconds: TOKEN_SECONDS };
  }

  #isSelfSigned(token: string): boolean {
    const claims = this.#claimsOf(token);
    return claims !== undefined && claims.aud === undefined && SCOPES.test(claims.scope ?? "");
  }

  /** The claims of a token with a good signature that holds now. */
  #claimsOf(token: string): Claims | undefined {
    const [head = "", body = "", signature = ""] = token.split(".");
    let claims: Claims;
    let algorithm: unknown;
    try {
      algorithm = (JSON.parse(decode(head)) as { alg?: unknown }).alg;
      claims = JSON.parse(decode(body)) as Claims;
    } catch {
      return undefined;
    }
    const key = this.#accounts.get(claims.iss ?? "");
    if (key === undefined || algorithm !== "RS256") return undefined;
    const isSigned = verify(
      "RSA-SHA256",
      Buffer.from(`${head}.${body}`),
      key,
      Buffer.from(signature, "base64url"),
    );
    const { iat = 0, exp = 0 } = claims;
    const now = this.#now() / 1000;
    const holds = iat <= now + SKEW_SECONDS && exp > now && exp - iat <= TOKEN_SECONDS;
    return isSigned && holds ? claims : undefined;
  }
}

function decode(part: string): string {
  return Buffer.from(part, "base64url").toString("utf8");
}
