// Certificates that a person names by their files, checked before anything is asked of a server: what Node refuses only
// when a connection is made would look like a defect.

import { HoldfastError, messageOf } from "../base/errors.ts";
import type { TlsOptions } from "../storage/open-storage.ts";
import type { SecretIo } from "./repository-source.ts";

/** What stands in --cacert, --tls-client-cert and --insecure-tls. */
export interface CertificateSettings {
  caCertificates: readonly string[];
  clientCertificate: string | undefined;
  insecureTls: boolean;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;
const PRIVATE_KEY = /-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----/;

/** Reads what the settings name. USAGE naming the option for what cannot be used. */
export async function readTlsOptions(
  settings: CertificateSettings,
  secrets: Pick<SecretIo, "readFile">,
): Promise<TlsOptions> {
  const { caCertificates, clientCertificate: name, insecureTls: insecure } = settings;
  const ca = await Promise.all(caCertificates.map((each) => readAuthorities(each, secrets)));
  if (name === undefined) return { ca, insecure };
  return { ca, insecure, clientCertificate: await readClientCertificate(name, secrets) };
}

async function readAuthorities(name: string, secrets: Pick<SecretIo, "readFile">): Promise<string> {
  const text = await readPem(name, "--cacert", secrets);
  const { X509Certificate } = await import("node:crypto");
  const isReadable = (block: string): boolean => {
    try {
      return new X509Certificate(block).serialNumber !== "";
    } catch {
      return false;
    }
  };
  // One odd certificate among a system's many harms nobody.
  if (text.match(CERTIFICATE)?.some(isReadable) === true) return text;
  throw new HoldfastError("USAGE", `--cacert: ${name} holds no certificate that can be read`);
}

async function readClientCertificate(
  name: string,
  secrets: Pick<SecretIo, "readFile">,
): Promise<string> {
  const option = "--tls-client-cert";
  const text = await readPem(name, option, secrets);
  if (text.match(CERTIFICATE) === null || !PRIVATE_KEY.test(text)) {
    const missing = PRIVATE_KEY.test(text) ? "certificate" : "private key";
    throw new HoldfastError("USAGE", `${option}: ${name} holds no ${missing}`, {
      hint: "The file holds both, one after the other, in PEM form.",
    });
  }
  const { createSecureContext } = await import("node:tls");
  try {
    createSecureContext({ cert: text, key: text });
  } catch (error) {
    throw new HoldfastError("USAGE", `${option}: ${name} cannot be used: ${messageOf(error)}`, {
      hint: "The certificate and its key, without a passphrase, are to be in PEM form.",
    });
  }
  return text;
}

async function readPem(
  name: string,
  option: string,
  secrets: Pick<SecretIo, "readFile">,
): Promise<string> {
  let text: string;
  try {
    text = Buffer.from(await secrets.readFile(name)).toString("utf8");
  } catch (error) {
    throw new HoldfastError("USAGE", `${option}: ${name} cannot be read: ${messageOf(error)}`);
  }
  if (text.includes("-----BEGIN")) return text;
  throw new HoldfastError("USAGE", `${option}: ${name} holds no certificate in PEM form`);
}
