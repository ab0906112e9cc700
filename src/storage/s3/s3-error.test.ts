import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { inspect } from "node:util";
import { saidError } from "../../../test/s3/double.ts";
import type { Said, Seen } from "../../../test/s3/double.ts";
import {
  KEY_ID,
  SECRET,
  failureOf,
  openOn,
  sayOnce,
  useDouble,
} from "../../../test/s3/on-double.ts";
import type { HoldfastError } from "../../base/errors.ts";
import { collect, pattern } from "../conformance/expectations.ts";

const double = useDouble();

void suite("answers", () => {
  const cases: [Said, HoldfastError["code"], boolean, RegExp?][] = [
    [saidError(403, "AccessDenied", "Access Denied"), "STORAGE_DENIED", false, /s3:GetObject/],
    [saidError(403, "InvalidAccessKeyId", "no such key"), "STORAGE_DENIED", false, /does not know/],
    [saidError(403, "SignatureDoesNotMatch", "differs"), "STORAGE_DENIED", false, /secret/],
    [saidError(400, "ExpiredToken", "expired"), "STORAGE_DENIED", false, /new temporary/],
    [saidError(403, "RequestTimeTooSkewed", "too late"), "STORAGE_DENIED", false, /clock/],
    [
      saidError(403, "AccessDenied", "Access Denied because object protected by object lock."),
      "STORAGE_DENIED",
      false,
      /retention/,
    ],
    [saidError(404, "NoSuchBucket", "no bucket"), "STORAGE_NOT_FOUND", false, /bucket's name/],
    [saidError(404, "NoSuchKey", "no key"), "STORAGE_NOT_FOUND", false],
    [saidError(404, "XAdminUserNotFound", "no user"), "STORAGE_DENIED", false, /does not know/],
    [saidError(404, "Whatever", "what?"), "STORAGE_FAILED", false],
    [{ status: 404, body: "<html>Not Found</html>" }, "STORAGE_FAILED", false, /address/],
    [saidError(503, "SlowDown", "Please reduce your request rate."), "STORAGE_UNAVAILABLE", true],
    [saidError(500, "InternalError", "We are sorry"), "STORAGE_UNAVAILABLE", true],
    [saidError(400, "RequestTimeout", "too slow"), "STORAGE_UNAVAILABLE", true],
    [{ status: 429, body: "slow down" }, "STORAGE_UNAVAILABLE", true],
    [{ status: 502, body: "<html>Bad Gateway</html>" }, "STORAGE_UNAVAILABLE", true],
    [saidError(400, "KMS.DisabledException", "disabled"), "STORAGE_DENIED", false, /enabled/],
    [saidError(507, "InsufficientStorage", "full"), "STORAGE_FULL", false],
    [saidError(400, "InvalidArgument", "what?"), "STORAGE_FAILED", false],
  ];
  for (const [said, code, retryable, hint] of cases) {
    test(`${said.status} ${String(said.body).slice(0, 60)} is ${code}`, async () => {
      const { storage } = await openOn(double);
      double.answer = () => said;
      const failure = await failureOf(storage.get("data/x"));
      assert.deepEqual([failure.code, failure.retryable], [code, retryable], failure.message);
      assert.match(failure.message, /data\/x/);
      if (hint) assert.match(failure.hint ?? "", hint);
      if (/NoSuchKey/.test(failure.message)) return;
      assert.equal((await failureOf(storage.delete("data/x"))).code, code);
    });
  }

  test("the time to wait is kept", async () => {
    const { storage } = await openOn(double);
    const said = saidError(503, "SlowDown", "slow");
    double.answer = () => ({ ...said, headers: { "retry-after": "7" } });
    assert.equal((await failureOf(storage.get("data/x"))).retryAfter, 7000);
  });

  test("a missing bucket is never an empty one", async () => {
    const { storage } = await openOn(double);
    double.answer = ({ method }) =>
      method === "HEAD" ? { status: 404 } : saidError(404, "NoSuchBucket", "no such bucket");
    const calls = [
      () => storage.put("data/x", pattern(9, 1)),
      () => storage.put("data/x", pattern(100_000, 1)),
      () => storage.get("data/x"),
      () => storage.stat("data/x"),
      () => storage.delete("data/x"),
      () => storage.deleteMany(["data/x"]),
      () => collect(storage.list("")),
    ];
    for (const call of calls) assert.equal((await failureOf(call())).code, "STORAGE_NOT_FOUND");
  });

  test("a page of something else is no answer", async () => {
    const { storage } = await openOn(double);
    const half = "<ListBucketResult><Contents><Key>data/x</Key><Size>1</Size></Contents>";
    for (const body of ["<html><body>Welcome</body></html>", "", half]) {
      double.answer = ({ method }) => (method === "HEAD" ? { status: 404 } : { status: 200, body });
      for (const call of [
        () => collect(storage.list("")),
        () => storage.deleteMany(["data/x"]),
        () => storage.put("data/x", pattern(9, 1)),
      ]) {
        assert.equal((await failureOf(call())).code, "STORAGE_FAILED", body);
      }
    }
  });

  test("an error in the body of a success is an error", async () => {
    const { storage } = await openOn(double);
    const upload = await storage.startUpload!("base/x");
    await upload.write(0, new Uint8Array(upload.pieceBytes));
    const said = {
      ...saidError(200, "InternalError", "We encountered an internal error"),
      status: 200,
    };
    sayOnce(double, said, ({ method }) => method === "POST");
    const failure = await failureOf(upload.finish(1, pattern(1, 1)));
    assert.deepEqual([failure.code, failure.retryable], ["STORAGE_UNAVAILABLE", true]);
    await upload.finish(1, pattern(1, 1));
  });

  test("deletions tell which object could not be deleted", async () => {
    const { storage } = await openOn(double);
    const error = (key: string, code: string): string =>
      `<Error><Key>${key}</Key><Code>${code}</Code><Message>why</Message></Error>`;
    const some = error("data/b", "SlowDown") + error("data/a", "AccessDenied");
    double.answer = () => ({ status: 200, body: `<DeleteResult>${some}</DeleteResult>` });
    const failure = await failureOf(storage.deleteMany(["data/a", "data/b", "data/c"]));
    assert.deepEqual([failure.code, failure.retryable], ["STORAGE_DENIED", false]);
    assert.match(failure.message, /data\/a.*1 more of 3/);
    double.answer = () => ({
      status: 200,
      body: `<DeleteResult>${error("data/b", "InternalError")}</DeleteResult>`,
    });
    assert.equal((await failureOf(storage.deleteMany(["data/b"]))).retryable, true);
  });

  test("the region that the service names is used from then on", async () => {
    const { storage } = await openOn(double);
    const signedFor = ({ headers }: Seen): string =>
      headers.authorization!.split("/").slice(2, 3).join("");
    double.answer = (seen) =>
      signedFor(seen) === "eu-west-3"
        ? undefined
        : saidError(400, "AuthorizationHeaderMalformed", "wrong", "<Region>eu-west-3</Region>");
    await storage.put("data/x", pattern(9, 1));
    double.seen.length = 0;
    await storage.get("data/x");
    assert.deepEqual(double.seen.map(signedFor), ["eu-west-3"]);
  });

  test("requests under way at once all follow to the region", async () => {
    const { storage } = await openOn(double);
    double.objects.set("data/x", { body: Buffer.alloc(3), headers: {} });
    double.answer = ({ headers }) =>
      headers.authorization!.includes("/eu-west-3/")
        ? undefined
        : saidError(400, "AuthorizationHeaderMalformed", "wrong", "<Region>eu-west-3</Region>");
    const sizes = await Promise.all([1, 2, 3, 4].map(() => storage.stat("data/x")));
    assert.deepEqual(
      sizes.map(({ size }) => size),
      [3, 3, 3, 3],
    );
  });

  test("the time that the service tells is signed with", async () => {
    const { storage } = await openOn(double);
    const later = new Date(Date.now() + 3_600_000).toUTCString();
    const said = saidError(403, "RequestTimeTooSkewed", "too early");
    sayOnce(double, { ...said, headers: { ...said.headers, date: later } });
    double.objects.set("data/x", { body: Buffer.alloc(3), headers: {} });
    assert.equal((await storage.get("data/x")).length, 3);
  });
});

test("no message repeats a credential or what was signed", async () => {
  const { storage } = await openOn(double);
  const session = await openOn(double, {
    credentials: {
      kind: "keys",
      accessKeyId: KEY_ID,
      secretAccessKey: SECRET,
      sessionToken: "session-tok3n",
    },
  });
  let signature = "";
  double.answer = ({ headers }) => {
    const authorization = headers.authorization ?? "";
    signature = authorization.split("Signature=")[1]!;
    const said = `${KEY_ID} ${SECRET} ${String(headers["x-amz-security-token"])}`;
    const signed = `<AWSAccessKeyId>${KEY_ID}</AWSAccessKeyId><StringToSign>${authorization}</StringToSign>`;
    return saidError(403, "SignatureDoesNotMatch", said, signed);
  };
  for (const call of [
    () => storage.put("data/x", pattern(9, 1)),
    () => session.storage.get("data/x"),
    () => session.storage.stat("data/x"),
    () => collect(storage.list("")),
    () => storage.deleteMany(["data/x"]),
    () => session.storage.startUpload!("base/x"),
  ]) {
    const text = inspect(await failureOf(call()), { depth: 12, showHidden: true });
    for (const secret of [KEY_ID, SECRET, "session-tok3n", signature, "AWS4-HMAC"]) {
      assert.ok(!text.includes(secret), `${secret} is in ${text}`);
    }
  }
});
