// Keys under Cloud KMS, on a double that real sops talks to as well.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { suite, test } from "node:test";
import { promisify } from "node:util";
import type { KeyAttempt } from "../../src/sops/key-source.ts";
import { openKey, wrapKey } from "../../src/sops/keys.ts";
import { keyContext, wrapped } from "./context.ts";
import { kmsDouble, type KmsDouble } from "./kms-double.ts";
import { folder, program } from "./programs.ts";

const dataKey = randomBytes(32);
const sops = program("sops", "sops-newest");

function envOf(double: KmsDouble): Record<string, string> {
  return { SOPS_GCP_KMS_ENDPOINT: double.address };
}

function reasonOf(attempt: KeyAttempt): string {
  assert.ok(!attempt.opened);
  return attempt.reason;
}

suite("Cloud KMS", () => {
  test("wraps and opens", async () => {
    await using double = await kmsDouble();
    const context = keyContext(envOf(double));
    const enc = await wrapKey("gcp_kms", double.keyName, dataKey, context);
    const attempt = await openKey(wrapped("gcp_kms", double.keyName, enc), context);
    assert.ok(attempt.opened);
    assert.deepEqual(Buffer.from(attempt.dataKey), dataKey);
    assert.equal(attempt.where, "Cloud KMS");
    const path = `/v1/${double.keyName}`;
    assert.deepEqual(double.asked, [`${path}:encrypt`, `${path}:decrypt`]);
  });

  test("nothing but a key's name gets into the address, and no token leaves in the clear", async () => {
    await using double = await kmsDouble();
    let tokens = 0;
    let requests = 0;
    const count = {
      googleToken: () => Promise.resolve(`${++tokens}`),
      fetch: () => Promise.resolve({ status: ++requests, text: "" }),
    };
    const hostile = [
      "",
      "../../evil",
      "projects/p/locations/l/keyRings/r/cryptoKeys/k",
      `${double.keyName}/cryptoKeyVersions/1`,
      `${double.keyName}:decrypt?x=`,
      `${double.keyName}#`,
      `${double.keyName}\n`,
      `@evil.example/${double.keyName}`,
      double.keyName.replace("ring", ".."),
    ];
    for (const id of hostile) {
      const attempt = await openKey(wrapped("gcp_kms", id, "AAAA"), keyContext({}, count));
      assert.match(reasonOf(attempt), /^Cloud KMS: no name of a key: [^\n]*$/);
      await assert.rejects(wrapKey("gcp_kms", id, dataKey, keyContext({}, count)), {
        code: "USAGE",
      });
    }
    const key = wrapped("gcp_kms", double.keyName, "AAAA");
    for (const address of [
      "http://kms.example",
      "ftp://127.0.0.1",
      "https://u:p@h",
      "https://h/?q",
    ]) {
      const context = keyContext({ SOPS_GCP_KMS_ENDPOINT: address }, count);
      assert.match(reasonOf(await openKey(key, context)), /must be https/);
    }
    const universe = keyContext({ SOPS_GCP_KMS_UNIVERSE_DOMAIN: "evil/path" }, count);
    assert.match(reasonOf(await openKey(key, universe)), /is no domain/);
    const offline = keyContext({}, { ...count, offline: true });
    assert.match(reasonOf(await openKey(key, offline)), /--offline/);
    const badEnc = wrapped("gcp_kms", double.keyName, "not base64!");
    assert.match(reasonOf(await openKey(badEnc, keyContext({}, count))), /not base64/);
    assert.deepEqual([tokens, requests], [0, 0]);
  });

  test("what Google says is told, and damage on the way is seen", async () => {
    await using double = await kmsDouble();
    const context = keyContext(envOf(double));
    const enc = await wrapKey("gcp_kms", double.keyName, dataKey, context);
    const key = wrapped("gcp_kms", double.keyName, enc);
    const cases: [status: number, reason: RegExp][] = [
      [401, /access token is not valid/],
      [403, /may not decrypt with this key \(because\)/],
      [404, /no such key/],
      [400, /disabled or destroyed/],
      [503, /answered 503; try again later/],
    ];
    for (const [status, reason] of cases) {
      double.refusal = { status, message: "because" };
      assert.match(reasonOf(await openKey(key, context)), reason);
    }
    double.refusal = undefined;
    for (const change of [
      { plaintext: randomBytes(32).toString("base64") },
      { plaintextCrc32c: "1" },
      { plaintextCrc32c: undefined },
      { plaintext: undefined },
      { plaintext: 7 },
    ]) {
      double.tamper = (answer) => Object.assign(answer, change);
      assert.match(reasonOf(await openKey(key, context)), /its answer is damaged/);
    }
    double.tamper = (answer) => Object.assign(answer, { verifiedPlaintextCrc32c: false });
    await assert.rejects(wrapKey("gcp_kms", double.keyName, dataKey, context), {
      code: "SOPS_NO_KEY",
    });
  });

  test("a token or a server that cannot be had is a reason", async () => {
    await using double = await kmsDouble();
    const key = wrapped("gcp_kms", double.keyName, "AAAA");
    const none = { googleToken: () => Promise.reject(new TypeError("secret")) };
    const noToken = reasonOf(await openKey(key, keyContext(envOf(double), none)));
    assert.equal(noToken, "Cloud KMS: no access token: failed (TypeError)");
    const nowhere = keyContext({ SOPS_GCP_KMS_ENDPOINT: "http://127.0.0.1:1" });
    assert.match(reasonOf(await openKey(key, nowhere)), /^Cloud KMS: failed/);
  });

  test("real sops, both ways", { skip: sops.skip }, async () => {
    await using double = await kmsDouble();
    using home = folder();
    const env = {
      PATH: process.env["PATH"],
      HOME: home.path,
      SOPS_GCP_KMS_CLIENT_TYPE: "rest",
      SOPS_GCP_KMS_ENDPOINT: double.address,
      GOOGLE_OAUTH_ACCESS_TOKEN: "x",
    };
    const plain = home.write("plain.json", '{"password": "hello"}');
    const run = promisify(execFile);
    const flags = ["--encrypt", "--gcp-kms", double.keyName, plain];
    const { stdout } = await run(sops.path, flags, { env });
    const document = JSON.parse(stdout) as {
      sops: { gcp_kms: { resource_id: string; enc: string }[] };
    };
    const entry = document.sops.gcp_kms[0]!;
    const context = keyContext(envOf(double));
    const attempt = await openKey(wrapped("gcp_kms", entry.resource_id, entry.enc), context);
    assert.ok(attempt.opened, JSON.stringify(attempt));
    entry.enc = await wrapKey("gcp_kms", double.keyName, attempt.dataKey, context);
    const again = home.write("again.json", JSON.stringify(document));
    const opened = await run(sops.path, ["--decrypt", again], { env });
    assert.deepEqual(JSON.parse(opened.stdout), { password: "hello" });
  });
});
