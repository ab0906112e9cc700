// A certificate for the metrics server when none is given: ECDSA P-256, signed by its own key, made anew by every process. It
// keeps a token from being read on the way; whom it speaks for, nobody can check. The few lines of DER that RFC 5280 asks for.

import { createHash, generateKeyPairSync, sign } from "node:crypto";
import type { Random } from "../../base/clock.ts";

export interface KeyAndCertificate {
  /** PEM. */
  readonly key: string;
  readonly cert: string;
}

const YEAR = 365 * 24 * 3_600_000;
/** Clocks in a cluster differ a little. */
const EARLIER = 3_600_000;

/** A new key with a certificate for `names` (DNS names), valid for ten years from `now`, milliseconds since 1970. */
export function selfSigned({
  names,
  now,
  random,
}: {
  readonly names: readonly string[];
  readonly now: number;
  readonly random: Random;
}): KeyAndCertificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = publicKey.export({ type: "spki", format: "der" });
  const serial = random(16);
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const algorithm = sequence(oid(ECDSA_WITH_SHA256));
  const subject = sequence(
    set(sequence(oid(COMMON_NAME), der(0x0c, Buffer.from(names[0] ?? "holdfast")))),
  );
  const keyId = createHash("sha1").update(spki).digest();
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from(serial)),
    algorithm,
    subject,
    sequence(time(now - EARLIER), time(now + 10 * YEAR)),
    subject,
    spki,
    der(
      0xa3,
      sequence(
        extension(SUBJECT_ALT_NAME, sequence(...names.map((name) => der(0x82, Buffer.from(name))))),
        extension(SUBJECT_KEY_ID, der(0x04, keyId)),
        extension(EXTENDED_KEY_USAGE, sequence(oid(SERVER_AUTH))),
      ),
    ),
  );
  const signature = sign("sha256", body, privateKey);
  const certificate = sequence(body, algorithm, der(0x03, Buffer.concat([ZERO, signature])));
  const base64 = certificate.toString("base64").replaceAll(/.{64}(?=.)/g, "$&\n");
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    cert: `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`,
  };
}

const ZERO = Buffer.from([0]);
const ECDSA_WITH_SHA256 = [1, 2, 840, 10045, 4, 3, 2];
const COMMON_NAME = [2, 5, 4, 3];
const SUBJECT_ALT_NAME = [2, 5, 29, 17];
const SUBJECT_KEY_ID = [2, 5, 29, 14];
const EXTENDED_KEY_USAGE = [2, 5, 29, 37];
const SERVER_AUTH = [1, 3, 6, 1, 5, 5, 7, 3, 1];

function der(tag: number, content: Uint8Array): Buffer {
  const { length } = content;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

function sequence(...parts: Uint8Array[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

function set(...parts: Uint8Array[]): Buffer {
  return der(0x31, Buffer.concat(parts));
}

function extension(id: readonly number[], value: Uint8Array): Buffer {
  return sequence(oid(id), der(0x04, value));
}

function oid([first = 0, second = 0, ...rest]: readonly number[]): Buffer {
  const bytes = [first * 40 + second];
  for (const part of rest) {
    const groups = [part & 0x7f];
    for (let left = part >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return der(0x06, Buffer.from(bytes));
}

/** GeneralizedTime and not UTCTime from 2050 on, as RFC 5280 wants it. */
function time(milliseconds: number): Buffer {
  const digits = new Date(milliseconds).toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  return Number(digits.slice(0, 4)) < 2050
    ? der(0x17, Buffer.from(digits.slice(2)))
    : der(0x18, Buffer.from(digits));
}
