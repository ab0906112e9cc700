import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { isHoldfastError } from "../base/errors.ts";
import { readTlsOptions } from "./certificates.ts";
import type { CertificateSettings } from "./certificates.ts";

const NONE: CertificateSettings = {
  caCertificates: [],
  clientCertificate: undefined,
  insecureTls: false,
};
const BROKEN = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

let folder: string;
let certificate: string;
let key: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), "holdfast-certificates-"));
  const [keyFile, file] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
  const words =
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=me";
  execFileSync("openssl", [...words.split(" "), "-keyout", keyFile, "-out", file], {
    stdio: "ignore",
  });
  certificate = readFileSync(file, "utf8");
  key = readFileSync(keyFile, "utf8");
});
after(() => rmSync(folder, { recursive: true }));

const files = (text: string) => ({ readFile: () => Promise.resolve(Buffer.from(text)) });

async function refuses(
  settings: Partial<CertificateSettings>,
  text: string,
  message: RegExp,
): Promise<void> {
  await assert.rejects(
    readTlsOptions({ ...NONE, ...settings }, files(text)),
    (error) => isHoldfastError(error, "USAGE") && message.test(error.message),
    text,
  );
}

test("a certificate with its key is taken, in any order", async () => {
  for (const both of [certificate + key, key + certificate]) {
    const settings = { ...NONE, caCertificates: ["a"], clientCertificate: "b" };
    const read = await readTlsOptions(settings, files(both));
    assert.deepEqual(read, { ca: [both], insecure: false, clientCertificate: both });
  }
});

test("what no connection could be made with is refused by the option's name", async () => {
  const client = { clientCertificate: "f" };
  await refuses(client, certificate, /^--tls-client-cert: f holds no private key/);
  await refuses(client, key, /^--tls-client-cert: f holds no certificate/);
  await refuses(client, BROKEN + key, /^--tls-client-cert: f cannot be used/);
  await refuses(client, "text", /^--tls-client-cert: f holds no certificate in PEM form/);
  const authority = { caCertificates: ["f"] };
  await refuses(authority, BROKEN, /^--cacert: f holds no certificate that can be read/);
  await refuses(authority, key, /^--cacert: f holds no certificate that can be read/);
});
