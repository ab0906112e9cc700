import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { HoldfastError } from "../../base/errors.ts";
import { parseConfigFile } from "./config-file.ts";
import { mapRemote } from "./mapping.ts";
import type { Mapping } from "./mapping.ts";

function map(target: string, env: Record<string, string>, text = ""): Mapping {
  return mapRemote({ target, env, file: parseConfigFile(text), location: `rclone:${target}` });
}

/** A remote "r" of `type` with options by their names. */
function remote(type: string, options: Record<string, string> = {}): Record<string, string> {
  const named = Object.entries(options).map(([name, value]) => [
    `RCLONE_CONFIG_R_${name.toUpperCase()}`,
    value,
  ]);
  return { RCLONE_CONFIG_R_TYPE: type, ...(Object.fromEntries(named) as Record<string, string>) };
}

/** Without what is not set. */
function nativeOf(mapping: Mapping): unknown {
  assert.ok("native" in mapping, JSON.stringify(mapping));
  return JSON.parse(JSON.stringify(mapping.native));
}

test("the guide's configuration is Cloud Storage, natively", () => {
  const json = '{"type":"service_account"}';
  const env = {
    RCLONE_CONFIG_GCS_TYPE: "google cloud storage",
    RCLONE_CONFIG_GCS_SERVICE_ACCOUNT_CREDENTIALS: json,
    RCLONE_CONFIG_GCS_BUCKET_POLICY_ONLY: "true",
  };
  assert.deepEqual(nativeOf(map("gcs:hayden-odoo-backups/filestore", env)), {
    kind: "gcs",
    options: {
      bucket: "hayden-odoo-backups",
      prefix: "filestore/",
      location: "rclone:gcs:hayden-odoo-backups/filestore",
      credentials: {
        kind: "file",
        value: json,
        source: "RCLONE_CONFIG_GCS_SERVICE_ACCOUNT_CREDENTIALS",
      },
    },
  });
});

test("credentials of Cloud Storage are looked for in rclone's order", () => {
  const all: [string, string, unknown][] = [
    ["access_token", "t", { kind: "token", token: "t", source: "RCLONE_CONFIG_R_ACCESS_TOKEN" }],
    ["env_auth", "true", { kind: "default" }],
    [
      "service_account_file",
      "~/k/$NAME",
      { kind: "file", value: "/home/u/k/n.json", source: "RCLONE_CONFIG_R_SERVICE_ACCOUNT_FILE" },
    ],
    [
      "service_account_credentials",
      "{}",
      { kind: "file", value: "{}", source: "RCLONE_CONFIG_R_SERVICE_ACCOUNT_CREDENTIALS" },
    ],
    ["anonymous", "1", { kind: "anonymous" }],
  ];
  const env = { HOME: "/home/u", NAME: "n.json" };
  const options: Record<string, string> = {};
  const credentials = (given: Record<string, string>): unknown =>
    (
      nativeOf(map("r:b", { ...env, ...remote("gcs", given) })) as {
        options: { credentials: unknown };
      }
    ).options.credentials;
  assert.deepEqual(credentials({}), { kind: "default" });
  for (const [name, value, expected] of all) {
    options[name] = value;
    assert.deepEqual(credentials(options), expected, name);
  }
});

test("endpoints of the JSON API", () => {
  const endpoint = (value: string): unknown => {
    const mapping = map("r:b", remote("gcs", { endpoint: value }));
    return "native" in mapping
      ? (mapping.native as { options: { endpoint: unknown } }).options.endpoint
      : mapping.binary[0];
  };
  assert.equal(endpoint("http://127.0.0.1:4443/storage/v1/"), "http://127.0.0.1:4443");
  assert.equal(endpoint("http://127.0.0.1:4443/storage/v1"), "http://127.0.0.1:4443");
  assert.equal(endpoint("storage.example.org:4443"), "https://storage.example.org:4443");
  assert.equal(endpoint(""), undefined);
  for (const other of ["storage.example.org/gcs/api", "http://a b", "https://u:geheim@x/"]) {
    assert.equal(endpoint(other), "option endpoint");
  }
});

test("S3 of plain providers", () => {
  const keys = { access_key_id: "id", secret_access_key: "geheim" };
  const options = {
    ...keys,
    provider: "Minio",
    endpoint: "minio:9000",
    chunk_size: "64M",
    acl: "private",
  };
  assert.deepEqual(nativeOf(map("r:b/a/b", remote("s3", options))), {
    kind: "s3",
    options: {
      bucket: "b",
      prefix: "a/b/",
      location: "rclone:r:b/a/b",
      credentials: { kind: "keys", accessKeyId: "id", secretAccessKey: "geheim" },
      endpoint: "https://minio:9000",
      region: "us-east-1",
      pathStyle: true,
    },
  });
  const amazon = {
    provider: "AWS",
    env_auth: "true",
    region: "eu-west-1",
    role_arn: "arn",
    server_side_encryption: "aws:kms",
    sse_kms_key_id: "k",
    storage_class: "STANDARD_IA",
  };
  assert.deepEqual(
    nativeOf(
      map(
        ":s3,profile=p:b",
        Object.fromEntries(
          Object.entries(amazon).map(([name, value]) => [`RCLONE_S3_${name.toUpperCase()}`, value]),
        ),
      ),
    ),
    {
      kind: "s3",
      options: {
        bucket: "b",
        prefix: "",
        location: "rclone::s3,profile=p:b",
        credentials: { kind: "default", profile: "p" },
        region: "eu-west-1",
        pathStyle: false,
        assumeRole: { arn: "arn" },
        serverSideEncryption: "aws:kms",
        kmsKeyId: "k",
        storageClass: "STANDARD_IA",
      },
    },
  );
  const anonymous = map(
    "r:b",
    remote("s3", { provider: "Other", force_path_style: "false", endpoint: "http://x" }),
  );
  const told = (nativeOf(anonymous) as { options: { credentials: unknown; pathStyle: boolean } })
    .options;
  assert.deepEqual([told.credentials, told.pathStyle], [{ kind: "anonymous" }, false]);
});

test("directories, and aliases of any of them", () => {
  const local = { kind: "local", root: "/srv/a/b" };
  assert.deepEqual(nativeOf(map("/srv/a/b", {})), local);
  assert.deepEqual(nativeOf(map(":local:/srv/a/b", {})), local);
  assert.deepEqual(nativeOf(map("r:a/b", remote("alias", { remote: "/srv" }))), local);
  assert.deepEqual(nativeOf(map("r:/../a/./b", remote("alias", { remote: "/srv/" }))), local);
  const chain = {
    ...remote("alias", { remote: "inner:bucket" }),
    RCLONE_CONFIG_INNER_TYPE: "gcs",
    RCLONE_CONFIG_INNER_ANONYMOUS: "true",
  };
  const mapped = nativeOf(map("r:filestore", chain)) as {
    kind: string;
    options: { bucket: string; prefix: string; location: string };
  };
  assert.equal(mapped.kind, "gcs");
  assert.deepEqual(
    [mapped.options.bucket, mapped.options.prefix, mapped.options.location],
    ["bucket", "filestore/", "rclone:r:filestore"],
  );
  assert.deepEqual(map("r:x", remote("alias", { remote: "r:y" })), {
    binary: ["its alias leads nowhere"],
  });
  assert.deepEqual(map("r:x", remote("alias")), { binary: ["its alias leads nowhere"] });
  const circle = {
    ...remote("alias", { remote: "s:" }),
    RCLONE_CONFIG_S_TYPE: "alias",
    RCLONE_CONFIG_S_REMOTE: "r:",
  };
  assert.deepEqual(map("r:x", circle), { binary: ["its aliases lead in a circle"] });
});

test("whatever is not understood is left to rclone", () => {
  const cases: [Record<string, string>, string][] = [
    [remote("crypt", { remote: "/srv" }), "type crypt"],
    [remote("union"), "type union"],
    [remote("chunker"), "type chunker"],
    [remote("sftp"), "type sftp"],
    [remote("GCS"), "type GCS"],
    [remote("alias", { remote: "inner:b" }), 'remote "inner"'],
    [remote("gcs", { object_acl: "publicRead" }), "option object_acl"],
    [remote("gcs", { token: "{}" }), "option token"],
    [remote("gcs", { decompress: "true" }), "option decompress"],
    [remote("gcs", { anonymous: "yes" }), "option anonymous"],
    [remote("gcs", { anonymous: "" }), "option anonymous"],
    [remote("gcs", { of_tomorrow: "1" }), "option of_tomorrow"],
    [{ ...remote("gcs"), RCLONE_GCS_OF_TOMORROW: "1" }, "option of_tomorrow"],
    [remote("s3", { provider: "Alibaba" }), "provider Alibaba"],
    [remote("s3", { sse_customer_key: "geheim" }), "option sse_customer_key"],
    [remote("s3", { access_key_id: "x" }), "half a pair of keys"],
    [remote("s3", { versions: "true" }), "option versions"],
    [remote("local", { copy_links: "true" }), "option copy_links"],
    [{ ...remote("gcs"), RCLONE_BWLIMIT: "1M" }, "RCLONE_BWLIMIT"],
    [{ ...remote("gcs"), RCLONE_CA_CERT: "/x" }, "RCLONE_CA_CERT"],
  ];
  for (const [env, reason] of cases) {
    const told = (() => {
      try {
        const mapping = map("r:b/p", env);
        return "binary" in mapping ? mapping.binary.join() : "native";
      } catch (error) {
        return (error as HoldfastError).message;
      }
    })();
    assert.ok(told.includes(reason), `${told} does not name ${reason}`);
    assert.doesNotMatch(told, /geheim/);
  }
});

test("defaults that are written out, and what concerns others, make no difference", () => {
  const plain = nativeOf(map("r:b", remote("gcs", { anonymous: "true" })));
  const options = {
    anonymous: "true",
    decompress: "false",
    token: "",
    object_acl: "private",
    project_number: "1",
    location: "eu",
    no_check_bucket: "true",
  };
  const others = {
    RCLONE_BWLIMIT: "0",
    RCLONE_DRY_RUN: "false",
    RCLONE_VERBOSE: "1",
    RCLONE_S3_ACL: "public-read",
    RCLONE_TRANSFERS: "9",
    RCLONE_CONFIG: "/x",
  };
  assert.deepEqual(nativeOf(map("r:b", { ...remote("gcs", options), ...others })), plain);
});

test("what rclone could not reach either is told at once", () => {
  assert.throws(() => map("nothing:b", {}), {
    code: "USAGE",
    message: /"nothing" is not configured/,
  });
  assert.throws(() => map("r:", remote("gcs")), { code: "USAGE", message: /names no bucket/ });
  assert.deepEqual(map("nothing:b", {}, "RCLONE_ENCRYPT_V0:\n"), {
    binary: ["its configuration is encrypted"],
  });
});

test("no option of a wrapping type brings anything past it", () => {
  const wrapping = fc.constantFrom(
    "crypt",
    "union",
    "chunker",
    "compress",
    "hasher",
    "combine",
    "cache",
  );
  const option = fc.constantFrom("remote", "upstreams", "password", "anonymous", "endpoint");
  fc.assert(
    fc.property(wrapping, fc.dictionary(option, fc.string()), (type, options) => {
      const mapping = map("r:b", remote(type, options));
      assert.ok("binary" in mapping && mapping.binary.includes(`type ${type}`));
    }),
  );
});
