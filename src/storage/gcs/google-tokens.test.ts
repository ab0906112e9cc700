import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { backendContext } from "../../../test/backend-context.ts";
import { GcsDouble } from "../../../test/gcs/double.ts";
import { openGcsStorage } from "../gcs.ts";
import type { GoogleCredentials } from "../gcs.ts";
import { openStorage } from "../open-storage.ts";
import type { OpenStorageOptions } from "../open-storage.ts";
import type { Storage } from "../storage.ts";

const EMAIL = "backup@project.iam.gserviceaccount.com";
const body = new Uint8Array(10);

let double: GcsDouble;
let folder: string;
before(async () => {
  double = await new GcsDouble({ authenticate: true }).listen();
  double.createBucket({ name: "tokens", limitWrites: false });
  folder = await mkdtemp(join(tmpdir(), "holdfast-tokens-"));
});
after(async () => {
  await double.close();
  await rm(folder, { recursive: true });
});

function open(
  credentials: GoogleCredentials,
  options: Partial<OpenStorageOptions> = {},
): Promise<Storage> {
  const place = { bucket: "tokens", prefix: "", endpoint: double.endpoint };
  return openGcsStorage({ ...place, credentials }, backendContext(options));
}

const fromText = (value: string): GoogleCredentials => ({
  kind: "file",
  value,
  source: "SECRET_VAR",
});

test("a service account signs its own tokens, and asks nobody", async () => {
  const account = double.access.createAccount(EMAIL);
  const path = join(folder, "account.json");
  await writeFile(path, account);
  for (const value of [account, path, `\n${account}\n`]) {
    const storage = await open(fromText(value));
    await storage.put("data/x", body);
    assert.equal((await storage.stat("data/x")).size, 10);
  }
  assert.equal(double.counts.byOperation["token"], undefined);
});

test("where the environment says so, too", async () => {
  const account = double.access.createAccount(EMAIL);
  const clock = backendContext().clock;
  const common = { clock, random: backendContext().random, retry: { attemptsMax: 1 } };
  const options = new Map([["gs.endpoint", double.endpoint]]);
  const env = { GOOGLE_APPLICATION_CREDENTIALS: account };
  const storage = await openStorage("gs:tokens:/env", { ...common, env, options });
  await storage.put("config", body);
  double.access.tokens.set("given", Date.now() + 60_000);
  const given = { GOOGLE_ACCESS_TOKEN: "given", GOOGLE_APPLICATION_CREDENTIALS: "/nowhere" };
  const other = await openStorage("gs://tokens/env", { ...common, env: given, options });
  assert.equal((await other.stat("config")).size, 10);
});

test("a token that is refused is replaced, once", async () => {
  const storage = await open(fromText(double.access.createAccount(EMAIL)));
  await storage.put("data/first", body);
  double.faults.plan({ kind: "status", status: 401, times: 1 });
  await storage.put("data/second", body);
  double.faults.plan({ kind: "status", status: 401, times: 2 });
  await assert.rejects(storage.put("data/third", body), {
    code: "STORAGE_DENIED",
    retryable: false,
    hint: /token was refused/,
  });
  double.faults.clear();
});

test("a fixed token that expires is one clear error", async () => {
  double.access.tokens.set("short", Date.now() + 60_000);
  const storage = await open({ kind: "token", token: "short" });
  await storage.put("data/short", body);
  double.access.tokens.set("short", 0);
  await assert.rejects(storage.get("data/short"), { code: "STORAGE_DENIED", hint: /token/ });
});

test("a foreign token address is asked only when that is allowed", async () => {
  const account = double.access.createAccount(EMAIL, `${double.endpoint}/token`);
  await assert.rejects(open(fromText(account)), {
    code: "CREDENTIALS_INVALID",
    message: /SECRET_VAR.*signed assertion/,
    hint: /gs\.allow-credentials=token-uri/,
  });
  assert.equal(double.access.exchanged, 0);
  const options = new Map([["gs.allow-credentials", "token-uri"]]);
  const storage = await open(fromText(account), { options });
  await storage.put("data/exchanged", body);
  await storage.get("data/exchanged");
  assert.equal(double.access.exchanged, 1);
  // Revoked, or expired earlier than announced.
  double.access.tokens.clear();
  await Promise.all([1, 2, 3].map(() => storage.get("data/exchanged")));
  assert.ok(double.access.exchanged >= 2 && double.access.exchanged <= 4);
  const stranger = new GcsDouble().access.createAccount(EMAIL, `${double.endpoint}/token`);
  const refused = await open(fromText(stranger), { options });
  await assert.rejects(refused.get("data/exchanged"), {
    code: "CREDENTIALS_INVALID",
    message: /invalid_grant: Invalid JWT Signature/,
  });
});

test("nothing is sent to addresses that a file names in another spelling", async () => {
  const subject = join(folder, "subject.txt");
  await writeFile(subject, "SUBJECT");
  const file = {
    type: "external_account",
    audience:
      "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
    subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
    credential_source: { file: subject },
  };
  double.resetCounts();
  const url = `${double.endpoint}/token`;
  for (const more of [{ tokenUrl: url }, { token_url: [url] }, { token_url: url }]) {
    const text = JSON.stringify({ ...file, ...more });
    await assert.rejects(open(fromText(text)), { code: "CREDENTIALS_INVALID" });
  }
  assert.equal(double.counts.requests, 0);
});

test("files that are no credentials are one clear error that tells nothing of them", async () => {
  const account = JSON.parse(double.access.createAccount(EMAIL)) as Record<string, string>;
  const broken = JSON.stringify({
    ...account,
    private_key: "-----BEGIN PRIVATE KEY-----\nU0VDUkVU\n-----END PRIVATE KEY-----\n",
  });
  const storage = await open(fromText(broken));
  await assert.rejects(storage.put("data/y", body), (error: Error & { code: string }) => {
    assert.equal(error.code, "CREDENTIALS_INVALID");
    assert.ok(!`${error.message} ${String(error.cause)}`.includes("U0VDUkVU"));
    return true;
  });
  await assert.rejects(open(fromText(join(folder, "absent.json"))), {
    code: "CREDENTIALS_INVALID",
    message: /absent\.json does not exist/,
  });
  await assert.rejects(open(fromText("SECRET SECRET!")), (error: Error & { code: string }) => {
    assert.equal(error.code, "CREDENTIALS_INVALID");
    assert.ok(!error.message.includes("SECRET SECRET"));
    return true;
  });
});

test("a workload's own token is exchanged, and again when the service refused the other", async (t) => {
  const warned = t.mock.method(console, "warn", () => {});
  const subject = join(folder, "workload.txt");
  await writeFile(subject, "SUBJECT");
  let exchanged = 0;
  const sts = createServer((request, response) => {
    request.resume();
    exchanged += 1;
    const token = `federated-${exchanged}`;
    double.access.tokens.set(token, Date.now() + 60_000);
    response.setHeader("content-type", "application/json");
    const answer = { access_token: token, expires_in: 3600, token_type: "Bearer" };
    response.end(JSON.stringify({ ...answer, issued_token_type: "x" }));
  });
  sts.listen(0, "127.0.0.1");
  await once(sts, "listening");
  const file = JSON.stringify({
    type: "external_account",
    audience:
      "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
    subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
    token_url: `http://127.0.0.1:${(sts.address() as AddressInfo).port}/v1/token`,
    credential_source: { file: subject },
  });
  const options = new Map([["gs.allow-credentials", "token-uri"]]);
  const storage = await open(fromText(file), { options });
  await storage.put("data/federated", body);
  await storage.stat("data/federated");
  assert.equal(exchanged, 1);
  double.access.tokens.delete("federated-1");
  assert.equal((await storage.stat("data/federated")).size, 10);
  assert.equal(exchanged, 2);
  assert.equal(warned.mock.callCount(), 0);
  sts.closeAllConnections();
  sts.close();
});

test("a token is taken without white space, and refused where no header can hold it", async () => {
  double.access.tokens.set("spaced", Date.now() + 60_000);
  const storage = await open({ kind: "token", token: " spaced\n" });
  await storage.put("data/spaced", body);
  for (const token of [
    "SECRET\nSECRET",
    "SECRET\u0000",
    "SECRET SECRET",
    "\u201cSECRET\u201d",
    " \n",
  ]) {
    const opening = open({ kind: "token", token });
    await assert.rejects(opening, (error: Error & { code: string; retryable: boolean }) => {
      assert.equal(error.code, "CREDENTIALS_INVALID");
      assert.equal(error.retryable, false);
      assert.match(error.message, /GOOGLE_ACCESS_TOKEN/);
      assert.ok(!error.message.includes("SECRET"));
      return true;
    });
  }
});

suite("the metadata server", () => {
  let server: Server;
  let answer: (response: ServerResponse) => void;
  let given = 0;
  const give = (seconds: number) => (response: ServerResponse) => {
    given += 1;
    const token = `metadata-${given}`;
    double.access.tokens.set(token, Date.now() + 60_000);
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ access_token: token, expires_in: seconds }));
  };
  const fail = (status: number) => (response: ServerResponse) =>
    void response.writeHead(status).end("busy");
  const openDefault = (): Promise<Storage> => {
    const place = { bucket: "tokens", prefix: "", endpoint: double.endpoint };
    const context = backendContext({ env: { HOME: "/nonexistent" } });
    return openGcsStorage({ ...place, credentials: { kind: "default" } }, context);
  };
  before(async () => {
    server = createServer((request, response) => {
      request.resume();
      response.setHeader("metadata-flavor", "Google");
      answer(response);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    process.env["GCE_METADATA_HOST"] = `127.0.0.1:${port}`;
  });
  after(async () => {
    delete process.env["GCE_METADATA_HOST"];
    server.closeAllConnections();
    if (server.listening) {
      server.close();
      await once(server, "close");
    }
  });

  test("its passing fault is no lack of credentials", async () => {
    const busy = { code: "STORAGE_UNAVAILABLE", retryable: true, message: /metadata server/ };
    const storage = await openDefault();
    answer = fail(503);
    await assert.rejects(storage.stat("data/meta"), busy);
    // Too short to be used twice.
    answer = give(60);
    await storage.put("data/meta", body);
    answer = fail(503);
    await assert.rejects(storage.stat("data/meta"), busy);
    answer = (response) => void response.destroy();
    await assert.rejects(storage.stat("data/meta"), busy);
    answer = give(60);
    assert.equal((await storage.stat("data/meta")).size, 10);
  });

  test("a token of its that is refused is followed by another", async () => {
    answer = give(3600);
    const storage = await openDefault();
    await storage.put("data/revoked", body);
    const first = given;
    double.access.tokens.delete(`metadata-${first}`);
    assert.equal((await storage.stat("data/revoked")).size, 10);
    assert.equal(given, first + 1);
  });

  test("one that knows of no account, and none at all, are no credentials", async () => {
    const none = { code: "CREDENTIALS_INVALID", message: /no credentials/ };
    answer = fail(404);
    await assert.rejects((await openDefault()).stat("data/meta"), none);
    server.closeAllConnections();
    server.close();
    await once(server, "close");
    await assert.rejects((await openDefault()).stat("data/meta"), none);
  });
});

test("gcloud's file is found below the home that is given", async () => {
  const missing = backendContext({ env: { HOME: folder, CLOUDSDK_CONFIG: folder } });
  await writeFile(
    join(folder, "application_default_credentials.json"),
    double.access.createAccount(EMAIL),
  );
  const place = { bucket: "tokens", prefix: "", endpoint: double.endpoint };
  const storage = await openGcsStorage({ ...place, credentials: { kind: "default" } }, missing);
  await storage.put("data/adc", body);
});
