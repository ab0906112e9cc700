import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { IncomingMessage, Server } from "node:http";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { testContext } from "../../../test/s3/context.ts";
import { S3Double, saidError } from "../../../test/s3/double.ts";
import type { Seen } from "../../../test/s3/double.ts";
import { isHoldfastError } from "../../base/errors.ts";
import { collect } from "../conformance/expectations.ts";
import { openS3Storage } from "../s3.ts";
import type { S3Options } from "../s3.ts";

/** Answers of STS and of the endpoint of containers, and what they were asked. */
class TokenServer {
  readonly asked: { request: IncomingMessage; body: string }[] = [];
  answer: { status: number; body: string } = { status: 200, body: "" };
  answerTo: ((request: IncomingMessage) => string) | undefined;
  readonly #server: Server = createServer((request, response) => {
    let body = "";
    request.on("data", (part: Buffer) => (body += part.toString()));
    request.on("end", () => {
      this.asked.push({ request, body });
      const { status } = this.answer;
      response.writeHead(this.answerTo ? 200 : status);
      response.end(this.answerTo?.(request) ?? this.answer.body);
    });
  });

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

function stsAnswer(action: string, keyId: string): string {
  const expiration = new Date(Date.now() + 3_600_000).toISOString();
  const parts = `<AccessKeyId>${keyId}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>`;
  const rest = `<SessionToken>token of ${keyId}</SessionToken><Expiration>${expiration}</Expiration>`;
  const result = `<${action}Result><Credentials>${parts}${rest}</Credentials></${action}Result>`;
  return `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">${result}</${action}Response>`;
}

suite("credentials", () => {
  let double: S3Double;
  let tokens: TokenServer;
  let home: string;
  before(async () => {
    double = await new S3Double().listen();
    tokens = await new TokenServer().listen();
    home = mkdtempSync(join(tmpdir(), "holdfast-aws-"));
    mkdirSync(join(home, ".aws"));
    const file = "[default]\naws_access_key_id = OF-DEFAULT\naws_secret_access_key = s\n";
    const other = "[odoo]\naws_access_key_id = OF-ODOO\naws_secret_access_key = s\n";
    writeFileSync(join(home, ".aws", "credentials"), `${file}${other}`);
    writeFileSync(join(home, "token"), "the-web-token");
    // What the process has must not be looked at.
    process.env["AWS_ACCESS_KEY_ID"] = "OF-THE-PROCESS";
    process.env["AWS_SECRET_ACCESS_KEY"] = "s";
    process.env["AWS_PROFILE"] = "of-the-process";
  });
  after(async () => {
    for (const name of ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"]) {
      delete process.env[name];
    }
    await double.close();
    tokens.close();
    rmSync(home, { recursive: true, force: true });
  });

  const keyIdOf = (seen: Seen): string =>
    /Credential=([^/]+)/.exec(seen.headers.authorization ?? "")?.[1] ?? "";

  /** Lists the bucket with what `env` offers; the key that the request was signed with. */
  async function used(
    env: Record<string, string>,
    fields: Partial<S3Options> = {},
  ): Promise<string> {
    const options = { bucket: "bucket", prefix: "", endpoint: double.endpoint } as const;
    const context = testContext({ env: { AWS_EC2_METADATA_DISABLED: "true", ...env } });
    const credentials = { kind: "default" } as const;
    const storage = await openS3Storage({ ...options, credentials, ...fields }, context);
    try {
      await collect(storage.list(""));
    } finally {
      await storage.close();
    }
    return keyIdOf(double.seen.at(-1)!);
  }

  test("variables come first, then the default profile", async () => {
    const keys = { AWS_ACCESS_KEY_ID: "OF-VARIABLES", AWS_SECRET_ACCESS_KEY: "s" };
    assert.equal(await used({ ...keys, AWS_SESSION_TOKEN: "t", HOME: home }), "OF-VARIABLES");
    assert.equal(double.seen.at(-1)!.headers["x-amz-security-token"], "t");
    assert.equal(await used({ HOME: home }), "OF-DEFAULT");
  });

  test("a profile that is asked for is used alone", async () => {
    const keys = { AWS_ACCESS_KEY_ID: "OF-VARIABLES", AWS_SECRET_ACCESS_KEY: "s" };
    assert.equal(await used({ ...keys, AWS_PROFILE: "odoo", HOME: home }), "OF-ODOO");
    const profile = { credentials: { kind: "default", profile: "odoo" } } as const;
    const file = { AWS_SHARED_CREDENTIALS_FILE: join(home, ".aws", "credentials") };
    assert.equal(await used({ ...file, HOME: tmpdir() }, profile), "OF-ODOO");
    await assert.rejects(used({ AWS_PROFILE: "absent", HOME: home }), (error) =>
      isHoldfastError(error, "CREDENTIALS_INVALID"),
    );
  });

  test("without any, every place is told", async () => {
    await assert.rejects(used({}), (error) => {
      assert.ok(isHoldfastError(error, "CREDENTIALS_INVALID"));
      for (const place of ["AWS_ACCESS_KEY_ID", "HOME", "AWS_ROLE_ARN", "container", "machine"]) {
        assert.match(error.message, new RegExp(place));
      }
      return true;
    });
  });

  test("a web identity is exchanged by STS, over our wire", async () => {
    tokens.asked.length = 0;
    tokens.answer = { status: 200, body: stsAnswer("AssumeRoleWithWebIdentity", "OF-WEB") };
    const env = {
      AWS_WEB_IDENTITY_TOKEN_FILE: join(home, "token"),
      AWS_ROLE_ARN: "arn:aws:iam::1:role/x",
      AWS_ENDPOINT_URL_STS: tokens.url,
    };
    assert.equal(await used(env), "OF-WEB");
    assert.match(tokens.asked[0]!.body, /WebIdentityToken=the-web-token/);
    assert.match(tokens.asked[0]!.body, /RoleSessionName=holdfast/);
    tokens.answer = { status: 503, body: "" };
    await assert.rejects(used(env), (error) => {
      return isHoldfastError(error, "STORAGE_UNAVAILABLE") && error.retryable;
    });
    const body =
      "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>bad</Message></Error></ErrorResponse>";
    tokens.answer = { status: 400, body };
    await assert.rejects(used(env), (error) => isHoldfastError(error, "CREDENTIALS_INVALID"));
  });

  test("a container's role is asked for with its token", async () => {
    tokens.asked.length = 0;
    const Expiration = new Date(Date.now() + 3_600_000).toISOString();
    const answer = { AccessKeyId: "OF-CONTAINER", SecretAccessKey: "s", Token: "t", Expiration };
    tokens.answer = { status: 200, body: JSON.stringify(answer) };
    const env = {
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${tokens.url}/role`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN: "the-token",
    };
    assert.equal(await used(env), "OF-CONTAINER");
    assert.equal(tokens.asked[0]!.request.headers.authorization, "the-token");
  });

  test("a machine's role is asked for last", async () => {
    const Expiration = new Date(Date.now() + 3_600_000).toISOString();
    const found = { AccessKeyId: "OF-MACHINE", SecretAccessKey: "s", Token: "t", Expiration };
    tokens.asked.length = 0;
    tokens.answerTo = ({ method, url = "" }) => {
      if (method === "PUT") return "session";
      return url.endsWith("/backup") ? JSON.stringify(found) : "backup";
    };
    // The one place that the SDK can be told only there.
    process.env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = tokens.url;
    assert.equal(await used({ AWS_EC2_METADATA_DISABLED: "" }), "OF-MACHINE");
    delete process.env["AWS_EC2_METADATA_SERVICE_ENDPOINT"];
    tokens.answerTo = undefined;
    const { headers } = tokens.asked.at(-1)!.request;
    assert.equal(headers["x-aws-ec2-metadata-token"], "session");
  });

  const role = { arn: "arn:aws:iam::1:role/backup", externalId: "ext" };

  test("a role is assumed with the credentials", async () => {
    tokens.asked.length = 0;
    tokens.answer = { status: 200, body: stsAnswer("AssumeRole", "OF-ROLE") };
    const assumeRole = { ...role, endpoint: tokens.url, region: "eu-west-1" };
    assert.equal(await used({ HOME: home }, { assumeRole }), "OF-ROLE");
    const { request, body } = tokens.asked[0]!;
    assert.match(request.headers.authorization ?? "", /Credential=OF-DEFAULT\/\d+\/eu-west-1\/sts/);
    assert.match(body, /ExternalId=ext/);
    const denied =
      "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>";
    tokens.answer = { status: 403, body: denied };
    await assert.rejects(used({ HOME: home }, { assumeRole }), (error) => {
      assert.ok(isHoldfastError(error, "CREDENTIALS_INVALID"));
      return /sts:AssumeRole/.test(error.hint ?? "");
    });
  });

  test("a token that has expired is got anew, once", async () => {
    let count = 0;
    const next = (): void => {
      tokens.answer = { status: 200, body: stsAnswer("AssumeRole", `OF-ROLE-${(count += 1)}`) };
    };
    next();
    double.answer = (seen) => {
      if (keyIdOf(seen) === "OF-ROLE-2") return undefined;
      next();
      return saidError(400, "ExpiredToken", "The provided token has expired.");
    };
    const assumeRole = { ...role, endpoint: tokens.url };
    assert.equal(await used({ HOME: home }, { assumeRole }), "OF-ROLE-2");
    // Variables do not change: nothing is asked twice.
    double.answer = () => saidError(400, "ExpiredToken", "The provided token has expired.");
    double.seen.length = 0;
    const keys = { AWS_ACCESS_KEY_ID: "OF-VARIABLES", AWS_SECRET_ACCESS_KEY: "s" };
    await assert.rejects(used(keys), (error) => isHoldfastError(error, "STORAGE_DENIED"));
    assert.equal(double.seen.length, 1);
    double.answer = () => undefined;
  });
});
