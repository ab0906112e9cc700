// Stands in for AWS KMS: encrypt and decrypt with one key, whose context must be the same both times. Signatures are not
// checked, only by whom they are. Only real sops talks to it.

import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export interface AwsDouble extends AsyncDisposable {
  readonly address: string;
  readonly arn: string;
}

const ARN = "arn:aws:kms:eu-central-1:111122223333:key/holdfast";
/** A credentials file with the one profile that may use the key. */
export const AWS_PROFILE = "[backup]\naws_access_key_id = holdfast\naws_secret_access_key = x\n";

export async function awsDouble(): Promise<AwsDouble> {
  const server = createServer((request, response) => {
    void answer(request).then((body) => {
      const status = "__type" in body ? 400 : 200;
      response.writeHead(status, { "content-type": "application/x-amz-json-1.1" });
      response.end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    arn: ARN,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface KmsRequest {
  KeyId?: string;
  Plaintext?: string;
  CiphertextBlob?: string;
  EncryptionContext?: Record<string, string>;
}

async function answer(request: IncomingMessage): Promise<Record<string, unknown>> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const body = JSON.parse(Buffer.concat(parts).toString()) as KmsRequest;
  const context = JSON.stringify(body.EncryptionContext ?? {});
  if (!request.headers.authorization?.includes("Credential=holdfast/"))
    return { __type: "UnrecognizedClientException" };
  if (request.headers["x-amz-target"] === "TrentService.Encrypt") {
    if (body.KeyId !== ARN) return { __type: "NotFoundException" };
    const sealed = Buffer.from(`${context}\n${body.Plaintext}`).toString("base64");
    return { KeyId: ARN, CiphertextBlob: sealed };
  }
  const [stated, plaintext] = Buffer.from(body.CiphertextBlob ?? "", "base64")
    .toString()
    .split("\n");
  if (stated !== context) return { __type: "InvalidCiphertextException" };
  return { KeyId: ARN, Plaintext: plaintext };
}
