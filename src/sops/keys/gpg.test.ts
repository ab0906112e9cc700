// What gpg says of keys that no test can have, like those on smartcards; gpg itself is in test/sops-keys/.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { keyContext } from "../../../test/sops-keys/context.ts";
import type { KeyContext } from "../key-source.ts";
import { gpgDecrypt } from "./gpg.ts";

/** A gpg that fails with these lines. */
function failing(...lines: string[]): KeyContext {
  const stderr = lines.map((line) => `${line}\n`).join("");
  return keyContext(
    {},
    { run: () => Promise.resolve({ status: 2, stdout: Buffer.alloc(0), stderr }) },
  );
}

const forKey = "[GNUPG:] ENC_TO 921067C486F4BCFE 1 0";

suite("what gpg says", () => {
  const number = (code: number): string => `[GNUPG:] ERROR pkdecrypt_failed ${0x4000000 + code}`;
  const cases: [lines: string[], reason: RegExp][] = [
    [[forKey, number(112)], /^the smartcard must be inserted$/],
    [[forKey, number(87)], /^the PIN of the smartcard was wrong$/],
    [[forKey, number(119)], /no scdaemon/],
    [[forKey, number(77)], /^gpg-agent does not answer$/],
    [[forKey, number(85)], /needs a passphrase .* nobody to ask$/],
    [[number(85)], /^the message is for a password and no key$/],
    [[forKey, "[GNUPG:] NO_SECKEY 921067C486F4BCFE"], /^no secret key 921067C486F4BCFE /],
    [["[GNUPG:] NODATA 1"], /damaged PGP message/],
    [[forKey, "[GNUPG:] DECRYPTION_FAILED"], /^the message does not decrypt$/],
    [["gpg: first", "gpg: invalid \x1b[2Joption"], /^invalid \[2Joption$/],
    [[], /^failed with status 2$/],
  ];
  for (const [lines, reason] of cases) {
    test(String(reason), async () => {
      const found = await gpgDecrypt("", failing(...lines));
      assert.equal(typeof found, "string");
      assert.match(found as string, reason);
    });
  }
});
