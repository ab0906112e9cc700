import assert from "node:assert/strict";
import { test } from "node:test";
import { testContext } from "../../../test/s3/context.ts";
import { isHoldfastError } from "../../base/errors.ts";
import { s3FromLocation } from "./settings.ts";
import type { S3Options } from "../s3.ts";

const KEYS = { AWS_ACCESS_KEY_ID: "AKID", AWS_SECRET_ACCESS_KEY: "secret" };

interface Given {
  target: string;
  purpose?: "repository" | "archive";
  env?: Record<string, string>;
  options?: Record<string, string>;
}

function read({ target, purpose = "repository", env = KEYS, options = {} }: Given): S3Options {
  return s3FromLocation(target, purpose, testContext({ env, options }));
}

test("locations name host, bucket and path as restic and Barman have them", () => {
  const cases: [Given, Partial<S3Options>][] = [
    [{ target: "s3.amazonaws.com/b-1/a/b" }, { bucket: "b-1", prefix: "a/b/" }],
    [{ target: "s3.amazonaws.com/b-1" }, { bucket: "b-1", prefix: "", endpoint: undefined }],
    [{ target: "https://s3.eu-west-1.amazonaws.com/b-1/" }, { region: "eu-west-1" }],
    [{ target: "s3-eu-west-1.amazonaws.com/b-1/" }, { region: "eu-west-1", endpoint: undefined }],
    [
      { target: "s3.dualstack.eu-west-1.amazonaws.com/b-1" },
      {
        region: "eu-west-1",
        endpoint: "https://s3.dualstack.eu-west-1.amazonaws.com",
        pathStyle: false,
      },
    ],
    [
      { target: "http://127.0.0.1:9000/b-1//x/./y/" },
      { endpoint: "http://127.0.0.1:9000", bucket: "b-1", prefix: "x/y/", pathStyle: undefined },
    ],
    [{ target: "host:9000/b-1/x" }, { endpoint: "https://host:9000", bucket: "b-1" }],
    [{ target: "//host/b-1/x" }, { endpoint: "https://host", bucket: "b-1", prefix: "x/" }],
    [
      { target: "//b-1/x", purpose: "archive" },
      { endpoint: undefined, bucket: "b-1", prefix: "x/" },
    ],
    [
      { target: "https://host/b-1/x", purpose: "archive" },
      { endpoint: "https://host", bucket: "b-1", prefix: "x/" },
    ],
    [
      {
        target: "//b-1/x",
        purpose: "archive",
        env: { ...KEYS, AWS_ENDPOINT_URL_S3: "http://127.0.0.1:9000" },
      },
      { endpoint: "http://127.0.0.1:9000", bucket: "b-1" },
    ],
    [
      { target: "//b-1/x", purpose: "archive", options: { "s3.endpoint": "https://minio:9000" } },
      { endpoint: "https://minio:9000" },
    ],
  ];
  for (const [given, expected] of cases) {
    const options = read(given) as unknown as Record<string, unknown>;
    for (const [name, value] of Object.entries(expected)) {
      assert.deepEqual(options[name], value, `${given.target}: ${name}`);
    }
  }
});

test("variables and options are those of restic, and ours", () => {
  const target = "host/bucket";
  const cases: [Omit<Given, "target">, Partial<S3Options>][] = [
    [
      {},
      {
        credentials: {
          kind: "keys",
          accessKeyId: "AKID",
          secretAccessKey: "secret",
          sessionToken: undefined,
        },
      },
    ],
    [{ env: {} }, { credentials: { kind: "default", profile: undefined } }],
    [{ env: { AWS_PROFILE: "odoo" } }, { credentials: { kind: "default", profile: "odoo" } }],
    [{ options: { "s3.unsafe-anonymous-auth": "true" } }, { credentials: { kind: "anonymous" } }],
    [{ env: { ...KEYS, AWS_REGION: "eu-west-1" } }, { region: "eu-west-1" }],
    [
      { env: { ...KEYS, AWS_REGION: "eu-west-1", AWS_DEFAULT_REGION: "eu-west-2" } },
      { region: "eu-west-2" },
    ],
    [{ options: { "s3.region": "garage" } }, { region: "garage" }],
    [{ options: { "s3.bucket-lookup": "dns" } }, { pathStyle: false }],
    [{ options: { "s3.bucket-lookup": "path" } }, { pathStyle: true }],
    [{ options: { "s3.connections": "20" } }, { connections: 20 }],
    [{ options: { "s3.storage-class": "standard_ia" } }, { storageClass: "STANDARD_IA" }],
    [{ options: { "s3.sse": "aes256" } }, { serverSideEncryption: "AES256" }],
    [{ options: { "s3.kms-key": "alias/x" } }, { kmsKeyId: "alias/x" }],
    [
      {
        env: {
          ...KEYS,
          RESTIC_AWS_ASSUME_ROLE_ARN: "arn:aws:iam::1:role/x",
          RESTIC_AWS_ASSUME_ROLE_SESSION_NAME: "session",
          RESTIC_AWS_ASSUME_ROLE_EXTERNAL_ID: "id",
          RESTIC_AWS_ASSUME_ROLE_STS_ENDPOINT: "sts.eu-west-1.amazonaws.com",
        },
      },
      {
        assumeRole: {
          arn: "arn:aws:iam::1:role/x",
          sessionName: "session",
          externalId: "id",
          policy: undefined,
          region: undefined,
          endpoint: "https://sts.eu-west-1.amazonaws.com",
        },
      },
    ],
  ];
  for (const [given, expected] of cases) {
    const options = read({ target, ...given }) as unknown as Record<string, unknown>;
    for (const [name, value] of Object.entries(expected)) assert.deepEqual(options[name], value);
  }
});

test("what makes no sense is refused by name", () => {
  const cases: [Omit<Given, "target"> & { target?: string }, RegExp][] = [
    [{ target: "host" }, /names no bucket/],
    [{ target: "/bucket/x" }, /names no host/],
    [{ target: "host/bucket/a\\b" }, /object's name/],
    [{ target: "host/bucket/../x" }, /object's name/],
    [{ target: "//b", purpose: "archive" }, /names no bucket/],
    [{ options: { "s3.region": "eu west" } }, /s3\.region: "eu west"/],
    [{ options: { "s3.bucket-lookup": "host" } }, /s3\.bucket-lookup: "host"/],
    [{ options: { "s3.connections": "0" } }, /s3\.connections: "0"/],
    [{ options: { "s3.storage-class": "cold!" } }, /s3\.storage-class: "COLD!"/],
    [{ options: { "s3.sse": "rot13" } }, /s3\.sse: "rot13"/],
    [{ options: { "s3.sse": "AES256", "s3.kms-key": "x" } }, /s3\.kms-key/],
    [{ options: { "s3.unsafe-anonymous-auth": "maybe" } }, /s3\.unsafe-anonymous-auth: "maybe"/],
    [
      { target: "//bucket/x", purpose: "archive", options: { "s3.endpoint": "minio:9000" } },
      /s3\.endpoint: "minio:9000"/,
    ],
  ];
  for (const [given, message] of cases) {
    assert.throws(
      () => read({ target: "host/bucket", ...given }),
      (error) => isHoldfastError(error, "USAGE") && message.test(error.message),
      `${message.source} was not said of ${JSON.stringify(given)}`,
    );
  }
  assert.throws(
    () => read({ target: "host/bucket", env: { AWS_ACCESS_KEY_ID: "AKID" } }),
    (error) => isHoldfastError(error, "CREDENTIALS_INVALID") && /SECRET/.test(error.message),
  );
});

test("a password in a location is refused without being repeated", () => {
  const cases: Given[] = [
    { target: "https://AKID:hidden@host/bucket" },
    { target: "//AKID:hidden@bucket/x", purpose: "archive" },
    { target: "//bucket/x", purpose: "archive", options: { "s3.endpoint": "https://a:hidden@b" } },
  ];
  for (const given of cases) {
    assert.throws(
      () => read(given),
      (error) => isHoldfastError(error, "USAGE") && !error.message.includes("hidden"),
    );
  }
});

test("classes that cannot be read at once are warned of", () => {
  const context = testContext({ env: KEYS, options: { "s3.storage-class": "DEEP_ARCHIVE" } });
  s3FromLocation("host/bucket", "repository", context);
  assert.match(context.notices.join(), /DEEP_ARCHIVE/);
});
