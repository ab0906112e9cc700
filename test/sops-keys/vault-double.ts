// Stands in for HashiCorp Vault: encrypt and decrypt of one key of its transit engine. Strict: what Vault would refuse is
// refused here. Only real sops talks to it.

import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export interface VaultDouble extends AsyncDisposable {
  readonly address: string;
  /** The key as SOPS names it. */
  readonly uri: string;
  readonly token: string;
  /** The paths asked for. */
  readonly asked: string[];
}

const PREFIX = "vault:v1:";

export async function vaultDouble(): Promise<VaultDouble> {
  const secret = randomBytes(32);
  const server = createServer((request, response) => {
    void answer(double, secret, request).then(({ status, body }) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const double: VaultDouble = {
    address,
    uri: `${address}/v1/team/transit/keys/holdfast`,
    token: "x",
    asked: [],
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return double;
}

interface Answer {
  status: number;
  body: unknown;
}

function refused(status: number, ...errors: string[]): Answer {
  return { status, body: { errors } };
}

async function answer(
  double: VaultDouble,
  secret: Buffer,
  request: IncomingMessage,
): Promise<Answer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  double.asked.push(request.url ?? "");
  if (request.method !== "PUT") return refused(405);
  if (request.headers["x-vault-token"] !== double.token) return refused(403, "permission denied");
  const verb = /^\/v1\/team\/transit\/(encrypt|decrypt)\/holdfast$/.exec(request.url ?? "")?.[1];
  if (verb === undefined) return refused(404);
  const body = JSON.parse(Buffer.concat(parts).toString()) as Record<string, unknown>;
  const data = verb === "encrypt" ? encrypt(secret, body) : decrypt(secret, body);
  return data ? { status: 200, body: { data } } : refused(400, "invalid request");
}

function encrypt(secret: Buffer, body: Record<string, unknown>): object | undefined {
  const { plaintext } = body;
  if (Object.keys(body).length !== 1 || typeof plaintext !== "string") return undefined;
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", secret, nonce);
  const sealed = [nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()];
  return { ciphertext: `${PREFIX}${Buffer.concat(sealed).toString("base64")}`, key_version: 1 };
}

function decrypt(secret: Buffer, body: Record<string, unknown>): object | undefined {
  const { ciphertext } = body;
  if (Object.keys(body).length !== 1 || typeof ciphertext !== "string") return undefined;
  if (!ciphertext.startsWith(PREFIX)) return undefined;
  const bytes = Buffer.from(ciphertext.slice(PREFIX.length), "base64");
  try {
    const cipher = createDecipheriv("aes-256-gcm", secret, bytes.subarray(0, 12));
    cipher.setAuthTag(bytes.subarray(-16));
    const plaintext = Buffer.concat([cipher.update(bytes.subarray(12, -16)), cipher.final()]);
    return { plaintext: plaintext.toString() };
  } catch {
    return undefined;
  }
}
