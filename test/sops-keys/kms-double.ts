// Stands in for Cloud KMS: encrypt and decrypt of its REST interface, with the checksums that it states and checks. Strict:
// what Google would refuse is refused here. Real sops talks to it as well, so that it cannot be wrong in the way we are.

import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { crc32c } from "../gcs/crc32c.ts";

export interface KmsDouble extends AsyncDisposable {
  readonly address: string;
  /** The paths asked for. */
  readonly asked: string[];
  /** The key that there is. */
  readonly keyName: string;
  /** Refuses everything with this status and message, until undefined again. */
  refusal: { status: number; message: string } | undefined;
  /** Changes an answer on its way out. */
  tamper: ((answer: Record<string, unknown>) => void) | undefined;
}

export const TOKEN = "x";
const KEY_NAME = "projects/holdfast-test/locations/global/keyRings/ring/cryptoKeys/key";

class Refused extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export async function kmsDouble(): Promise<KmsDouble> {
  const secret = randomBytes(32);
  const server: Server = createServer((request, response) => {
    void bodyOf(request)
      .then((body) => answer(double, secret, request, body))
      .catch((error: unknown) => {
        const status = error instanceof Refused ? error.status : 500;
        return {
          status,
          body: { error: { code: status, message: String((error as Error).message) } },
        };
      })
      .then(({ status, body }) => {
        response.writeHead(status, { "content-type": "application/json; charset=UTF-8" });
        response.end(JSON.stringify(body));
      });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const double: KmsDouble = {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: [],
    keyName: KEY_NAME,
    refusal: undefined,
    tamper: undefined,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return double;
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return JSON.parse(Buffer.concat(parts).toString()) as Record<string, unknown>;
}

/** A checksum as the REST interface has it: an int64, so a decimal text. */
function decimal(bytes: Uint8Array): string {
  return String(Buffer.from(crc32c(bytes), "base64").readUInt32BE());
}

/** A field of bytes, whose checksum is compared when the request states one. */
function field(body: Record<string, unknown>, name: string): { bytes: Buffer; verified: boolean } {
  const text = body[name];
  if (typeof text !== "string") throw new Refused(400, `${name} is missing`);
  const bytes = Buffer.from(text, "base64");
  if (bytes.toString("base64") !== text) throw new Refused(400, `${name} is not base64`);
  const stated = body[`${name}Crc32c`];
  if (stated !== undefined && JSON.stringify(stated).replaceAll(`"`, "") !== decimal(bytes)) {
    throw new Refused(400, `the checksum of ${name} does not match`);
  }
  return { bytes, verified: stated !== undefined };
}

function answer(
  double: KmsDouble,
  secret: Buffer,
  request: IncomingMessage,
  body: Record<string, unknown>,
): { status: number; body: Record<string, unknown> } {
  const url = new URL(request.url ?? "", double.address);
  double.asked.push(url.pathname);
  if (request.method !== "POST") throw new Refused(405, "POST only");
  if (request.headers.authorization !== `Bearer ${TOKEN}`) throw new Refused(401, "who are you?");
  if (double.refusal) throw new Refused(double.refusal.status, double.refusal.message);
  const [, name, verb] = /^\/v1\/(.*):(encrypt|decrypt)$/.exec(url.pathname) ?? [];
  if (name !== double.keyName) throw new Refused(404, "CryptoKey not found");
  const known = ["plaintext", "plaintextCrc32c", "ciphertext", "ciphertextCrc32c", "name"];
  const unknown = Object.keys(body).find((one) => !known.includes(one));
  if (unknown) throw new Refused(400, `unknown name "${unknown}"`);
  const result = verb === "encrypt" ? encrypt(secret, body) : decrypt(secret, body);
  double.tamper?.(result);
  return { status: 200, body: result };
}

function encrypt(secret: Buffer, body: Record<string, unknown>): Record<string, unknown> {
  const { bytes, verified } = field(body, "plaintext");
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", secret, nonce);
  const ciphertext = Buffer.concat([
    nonce,
    cipher.update(bytes),
    cipher.final(),
    cipher.getAuthTag(),
  ]);
  return {
    name: `${KEY_NAME}/cryptoKeyVersions/1`,
    ciphertext: ciphertext.toString("base64"),
    ciphertextCrc32c: decimal(ciphertext),
    verifiedPlaintextCrc32c: verified,
    protectionLevel: "SOFTWARE",
  };
}

function decrypt(secret: Buffer, body: Record<string, unknown>): Record<string, unknown> {
  const { bytes } = field(body, "ciphertext");
  try {
    const cipher = createDecipheriv("aes-256-gcm", secret, bytes.subarray(0, 12));
    cipher.setAuthTag(bytes.subarray(-16));
    const plaintext = Buffer.concat([cipher.update(bytes.subarray(12, -16)), cipher.final()]);
    return {
      plaintext: plaintext.toString("base64"),
      plaintextCrc32c: decimal(plaintext),
      usedPrimary: true,
      protectionLevel: "SOFTWARE",
    };
  } catch {
    throw new Refused(400, "Decryption failed: the ciphertext is invalid.");
  }
}
