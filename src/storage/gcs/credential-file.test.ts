import assert from "node:assert/strict";
import { test } from "node:test";
import { RISKS } from "./credential-fields.ts";
import { parseCredentialFile } from "./credential-file.ts";
import type { Risk } from "./credential-fields.ts";

const NONE = new Set<Risk>();
const SECRET = "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n";

const account = {
  type: "service_account",
  client_email: "backup@p.iam.gserviceaccount.com",
  private_key: SECRET,
  token_uri: "https://oauth2.googleapis.com/token",
};
const federated = {
  type: "external_account",
  audience: "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k",
  subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
  token_url: "https://sts.googleapis.com/v1/token",
  service_account_impersonation_url:
    "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/b@p:generateAccessToken",
  credential_source: { file: "/var/run/secrets/token" },
};
const user = { type: "authorized_user", client_id: "c", client_secret: "s", refresh_token: "r" };

const parse = (json: object, allowed = NONE) =>
  parseCredentialFile(JSON.stringify(json), "GOOGLE_APPLICATION_CREDENTIALS", allowed);

test("the usual files pass", () => {
  for (const json of [account, federated, user]) {
    assert.equal(parse(json).type, json.type);
    assert.equal(parse(json).foreignTokenUri, undefined);
  }
  const source = { ...user };
  const url = federated.service_account_impersonation_url;
  const impersonated = {
    type: "impersonated_service_account",
    service_account_impersonation_url: url,
    source_credentials: source,
  };
  assert.equal(parse(impersonated).type, "impersonated_service_account");
});

test("what would act for a stranger is refused, and passes when its risk is allowed", () => {
  const cases: [Risk, object, RegExp][] = [
    ["token-uri", { ...account, token_uri: "https://evil.example/token" }, /evil\.example/],
    ["token-uri", { ...account, token_uri: "http://oauth2.googleapis.com/token" }, /assertion/],
    ["token-uri", { ...account, token_uri: "https://googleapis.com.evil.example/" }, /evil/],
    ["token-uri", { ...account, token_uri: "https://a@oauth2.googleapis.com/" }, /assertion/],
    ["token-uri", { ...account, token_uri: "https://oauth2.googleapis.com:8443/" }, /8443/],
    ["token-uri", { ...account, universe_domain: "evil.example" }, /evil\.example/],
    ["token-uri", { ...federated, token_url: "https://evil.example" }, /token_url/],
    [
      "token-uri",
      { ...federated, service_account_impersonation_url: "http://169.254.169.254/" },
      /impersonation/,
    ],
    ["url", { ...federated, credential_source: { url: "http://10.0.0.1/" } }, /addresses/],
    [
      "url",
      {
        ...federated,
        credential_source: { environment_id: "aws1", regional_cred_verification_url: "x" },
      },
      /addresses/,
    ],
    [
      "executable",
      { ...federated, credential_source: { executable: { command: "/bin/rm" } } },
      /program to run/,
    ],
  ];
  for (const [risk, json, message] of cases) {
    assert.throws(() => parse(json), { code: "CREDENTIALS_INVALID", message });
    for (const other of RISKS.filter((each) => each !== risk)) {
      assert.throws(() => parse(json, new Set([other])), { code: "CREDENTIALS_INVALID" });
    }
    parse(json, new Set([risk]));
  }
  // An inner file is judged as well.
  const inner = { ...account, token_uri: "https://evil.example" };
  const impersonated = {
    type: "impersonated_service_account",
    service_account_impersonation_url: federated.service_account_impersonation_url,
    source_credentials: inner,
  };
  assert.throws(() => parse(impersonated), /evil\.example/);
});

test("nothing gets past the judge by another spelling or shape", () => {
  const evil = "https://evil.example/x";
  const impersonated = {
    type: "impersonated_service_account",
    service_account_impersonation_url: federated.service_account_impersonation_url,
    source_credentials: user,
  };
  const source = federated.credential_source;
  const plain = { ...federated, token_url: undefined };
  const cases: object[] = [
    { ...plain, tokenUrl: evil },
    { ...federated, token_url: [evil] },
    { ...federated, token_url: { href: evil } },
    { ...federated, serviceAccountImpersonationUrl: evil },
    { ...federated, service_account_impersonation_url: [evil] },
    { ...federated, universeDomain: "evil.example" },
    { ...federated, universe_domain: ["evil.example"] },
    { ...federated, transporterOptions: { proxy: evil } },
    { ...federated, credential_source: ["executable"] },
    { ...federated, credential_source: "executable" },
    { ...federated, credential_source: { ...source, url: evil } },
    { ...federated, credential_source: { ...source, environmentId: "aws1" } },
    { ...federated, credential_source: { file: [source.file] } },
    { ...federated, credential_source: {} },
    { ...federated, credentialSource: { url: evil } },
    { ...user, universe_domain: "evil.example" },
    { ...user, universeDomain: "evil.example" },
    { ...user, refresh_token: ["r"] },
    { ...impersonated, endpoint: evil },
    { ...impersonated, universe_domain: "evil.example" },
    { ...impersonated, universeDomain: "evil.example" },
    { ...impersonated, source_credentials: { ...user, universe_domain: "evil.example" } },
    { ...impersonated, source_credentials: [user] },
    { ...impersonated, source_credentials: impersonated },
    { ...impersonated, sourceCredentials: { ...account, token_uri: evil } },
    { ...impersonated, delegates: [{}] },
    { ...account, token_uri: [evil] },
  ];
  for (const json of cases) {
    assert.throws(() => parse(json), { code: "CREDENTIALS_INVALID" }, JSON.stringify(json));
  }
});

test("only what was judged is passed on", () => {
  const more = { project_id: "p", scopes: ["x"], interceptors: {}, token_info_url: "" };
  assert.deepEqual(parse({ ...federated, ...more }).json, federated);
  const { json } = parse({ ...user, ...more, account: "" });
  assert.deepEqual(json, user);
  const source = { url: "http://10.0.0.1/", headers: { "Metadata-Flavor": "x" }, certificate: {} };
  const format = { type: "json", subject_token_field_name: "access_token" };
  const asking = { ...federated, credential_source: { ...source, format } };
  const { url, headers } = source;
  const passed = parse(asking, new Set<Risk>(["url"])).json["credential_source"];
  assert.deepEqual(passed, { url, headers, format });
  const executable = { command: "/bin/token", timeout_millis: 5000, output_file: "/tmp/t" };
  const running = { ...federated, credential_source: { executable } };
  const run = parse(running, new Set<Risk>(["executable"])).json["credential_source"];
  assert.deepEqual(run, { executable });
});

test("an address that is allowed has to be one all the same", () => {
  for (const json of [
    { ...account, token_uri: "evil" },
    { ...account, token_uri: "file:///etc/passwd" },
    { ...federated, token_url: "https://" },
  ]) {
    assert.throws(() => parse(json, new Set(RISKS)), { code: "CREDENTIALS_INVALID" });
  }
});

test("no message repeats a part of a file", () => {
  const texts = [
    `{"private_key": "${"SECRET".repeat(3)}"`,
    "SECRET SECRET",
    '["SECRET"]',
    JSON.stringify({ ...account, type: "SECRET" }).replace('"SECRET"', '"service_account"'),
    JSON.stringify({ ...account, private_key: "SECRET" }),
    JSON.stringify({ ...account, client_email: "" }),
    JSON.stringify({ ...user, refresh_token: undefined, client_secret: "SECRET" }),
    "null",
    "",
  ];
  for (const text of texts) {
    try {
      parseCredentialFile(text, "X", NONE);
    } catch (error) {
      assert.equal((error as { code: string }).code, "CREDENTIALS_INVALID");
      const { message, hint = "" } = error as { message: string; hint?: string };
      assert.ok(!`${message}${hint}`.includes("SECRET"), message);
    }
  }
});
