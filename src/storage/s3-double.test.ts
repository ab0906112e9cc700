// The storage of S3 where a service is not as it should be: it knows no conditions, encrypts with other keys, breaks off,
// asks for another region, repeats what was signed.

import assert from "node:assert/strict";
import { after, before, beforeEach, suite, test } from "node:test";
import { inspect } from "node:util";
import { testContext } from "../../test/s3/context.ts";
import type { TestContext, TestContextFields } from "../../test/s3/context.ts";
import { S3Double, saidError } from "../../test/s3/double.ts";
import type { Said, Seen } from "../../test/s3/double.ts";
import { isHoldfastError } from "../base/errors.ts";
import type { HoldfastError } from "../base/errors.ts";
import { storageConformance } from "./conformance.ts";
import { collect, pattern, sameBytes } from "./conformance/expectations.ts";
import type { OpenedStorage } from "./conformance/expectations.ts";
import { openS3Storage } from "./s3.ts";
import type { S3Options } from "./s3.ts";
import type { Storage } from "./storage.ts";

const KEY_ID = "AKIDNOBODYMAYSEE";
const SECRET = "secret/nobody+may+see";
const MIB = 1024 * 1024;

let double: S3Double;
before(async () => {
  double = await new S3Double().listen();
});
after(() => double.close());
beforeEach(() => reset());

function reset(): void {
  double.objects.clear();
  double.seen.length = 0;
  double.conditions = "honoured";
  double.deletesMany = true;
  double.answer = () => undefined;
  double.writeHeaders = {};
}

interface Opened {
  storage: Storage;
  context: TestContext;
}

async function open(
  fields: Partial<S3Options> = {},
  contextFields: TestContextFields = {},
): Promise<Opened> {
  const context = testContext(contextFields);
  const credentials = { kind: "keys", accessKeyId: KEY_ID, secretAccessKey: SECRET } as const;
  const options = {
    bucket: "bucket",
    prefix: "",
    endpoint: double.endpoint,
    credentials,
    ...fields,
  };
  return { storage: await openS3Storage(options, context), context };
}

/** What `call` fails with. */
async function failureOf(call: Promise<unknown>): Promise<HoldfastError> {
  const error = await call.then(
    () => assert.fail("it succeeded"),
    (failure: unknown) => failure,
  );
  assert.ok(isHoldfastError(error), inspect(error));
  return error;
}

/** Answers the first request that `matches` with `said`, and the others as usual. */
function once(said: Said, matches: (seen: Seen) => boolean = () => true): void {
  let isSaid = false;
  double.answer = (seen) => {
    if (isSaid || !matches(seen)) return undefined;
    isSaid = true;
    return said;
  };
}

for (const conditions of ["ignored", "refused"] as const) {
  const openFresh = async (): Promise<OpenedStorage> => {
    reset();
    double.conditions = conditions;
    double.deletesMany = conditions === "refused";
    const { storage } = await open();
    const reopen = async (): Promise<Storage> => (await open()).storage;
    return { storage, cleanup: () => Promise.resolve(), reopen };
  };
  const isIgnored = conditions === "ignored";
  storageConformance(`s3 where conditions are ${conditions}`, openFresh, {
    listCount: isIgnored ? 1100 : 100,
    uploads: isIgnored,
  });
}

void suite("create-only writes", () => {
  test("a small write finds out whether conditions are honoured, once", async () => {
    const { storage, context } = await open();
    await storage.put("locks/a", pattern(100, 1));
    assert.deepEqual(double.asked, [
      "HEAD /bucket/locks/a",
      "PUT /bucket/locks/a",
      "PUT /bucket/locks/a",
    ]);
    double.seen.length = 0;
    await storage.put("data/a", pattern(100, 1));
    assert.deepEqual(double.asked, ["PUT /bucket/data/a"]);
    assert.deepEqual(context.notices, []);
  });

  test("a service without conditions is told of once", async () => {
    double.conditions = "ignored";
    const { storage, context } = await open();
    for (const key of ["locks/a", "locks/b", "locks/c"]) await storage.put(key, pattern(9, 1));
    assert.equal(context.notices.length, 1);
    assert.match(context.notices[0]!, /If-None-Match/);
  });

  test("what exists is compared by its bytes where the service keeps no checksum", async () => {
    const { storage } = await open();
    double.objects.set("data/x", { body: Buffer.from(pattern(500, 1)), headers: {} });
    await storage.put("data/x", pattern(500, 1));
    const failure = await failureOf(storage.put("data/x", pattern(500, 2)));
    assert.equal(failure.code, "STORAGE_EXISTS");
  });

  test("a conflict with a write under way may be tried again", async () => {
    const { storage } = await open();
    await storage.put("locks/a", pattern(9, 1));
    once(saidError(409, "ConditionalRequestConflict", "try again"));
    const failure = await failureOf(storage.put("data/x", pattern(9, 1)));
    assert.deepEqual([failure.code, failure.retryable], ["STORAGE_UNAVAILABLE", true]);
  });
});

void suite("encryption by the service", () => {
  const key = "arn:aws:kms:eu-central-1:111122223333:key/right";
  const told = (id: string): Record<string, string> => ({
    "x-amz-server-side-encryption": "aws:kms",
    "x-amz-server-side-encryption-aws-kms-key-id": id,
  });

  test("is asked for with the key", async () => {
    double.writeHeaders = told(key);
    const { storage } = await open({ kmsKeyId: key });
    await storage.put("config", pattern(9, 1));
    const { headers } = double.seen.find(({ method }) => method === "PUT")!;
    assert.equal(headers["x-amz-server-side-encryption"], "aws:kms");
    assert.equal(headers["x-amz-server-side-encryption-aws-kms-key-id"], key);
  });

  const others: Record<string, string>[] = [told(key.replace("right", "wrong")), {}];
  for (const headers of [...others, { "x-amz-server-side-encryption": "AES256" }]) {
    test(`an object is taken away again: ${JSON.stringify(headers)}`, async () => {
      double.writeHeaders = headers;
      const { storage } = await open({ kmsKeyId: key });
      const failure = await failureOf(storage.put("config", pattern(9, 1)));
      assert.deepEqual([failure.code, failure.retryable], ["STORAGE_WRONG_KEY", false]);
      assert.equal(double.objects.size, 0);
      const upload = await storage.startUpload!("base/x");
      const writing = upload.write(0, new Uint8Array(upload.pieceBytes));
      assert.equal((await failureOf(writing)).code, "STORAGE_WRONG_KEY");
      assert.ok(!double.seen.some(({ query }) => query.has("partNumber")), "nothing was sent");
    });
  }

  test("an id without its ARN is the same key, an alias is believed", async () => {
    double.writeHeaders = told(key);
    for (const kmsKeyId of ["right", "alias/odoo"]) {
      const { storage } = await open({ kmsKeyId });
      await storage.put(`data/${kmsKeyId.length}`, pattern(9, 1));
    }
  });

  test("storage classes are for packs and archives alone", async () => {
    const { storage } = await open({ storageClass: "STANDARD_IA" });
    for (const name of ["config", "keys/a", "data/ab/abcd", "server/base/x"]) {
      await storage.put(name, pattern(9, 1));
    }
    const cold = double.seen.filter(({ headers }) => headers["x-amz-storage-class"] !== undefined);
    const paths = new Set(cold.map(({ path }) => path));
    assert.deepEqual([...paths], ["/bucket/data/ab/abcd", "/bucket/server/base/x"]);
  });
});

void suite("bodies that break off", () => {
  const body = pattern(3 * MIB + 11, 5);
  const etag = '"the-tag"';
  const cut = (bytes: number): void => {
    double.answer = ({ method, headers }) => {
      if (method !== "GET") return undefined;
      const from = Number(/bytes=(\d+)/.exec(headers.range ?? "")?.[1] ?? 0);
      if (from > 0 && headers["if-match"] !== etag) return saidError(412, "PreconditionFailed", "");
      const rest = Buffer.from(body.subarray(from));
      const contentRange = `bytes ${from}-${body.length - 1}/${body.length}`;
      const status = headers.range === undefined ? 200 : 206;
      const told = { etag, ...(status === 206 && { "content-range": contentRange }) };
      return { status, headers: told, body: rest, ...(rest.length > bytes && { cutAfter: bytes }) };
    };
  };

  test("are continued where they broke", async () => {
    const { storage } = await open();
    cut(MIB);
    sameBytes(await storage.get("data/x"), body);
    assert.equal(double.seen.length, 4);
    const into = new Uint8Array(new SharedArrayBuffer(body.length));
    sameBytes(await storage.get("data/x", { length: body.length, into }), body);
  });

  test("are given up without progress, and may be tried again", async () => {
    const { storage } = await open();
    cut(0);
    const failure = await failureOf(storage.get("data/x"));
    assert.deepEqual([failure.code, failure.retryable], ["STORAGE_UNAVAILABLE", true]);
  });

  test("are begun anew when the object was replaced meanwhile", async () => {
    const { storage } = await open();
    double.objects.set("data/x", { body: Buffer.from(body), headers: {} });
    once({ status: 200, headers: { etag: '"old"' }, body: Buffer.from(body), cutAfter: MIB });
    const failure = await failureOf(storage.get("data/x"));
    assert.deepEqual([failure.code, failure.retryable], ["STORAGE_UNAVAILABLE", true]);
    assert.match(failure.message, /replaced/);
  });

  test("a short object is no short read", async () => {
    const { storage } = await open();
    const headers = { "content-range": "bytes 0-99/100" };
    once({ status: 206, headers, body: Buffer.alloc(100) });
    const failure = await failureOf(storage.get("data/x", { length: 101 }));
    assert.deepEqual([failure.code, failure.retryable], ["STORAGE_FAILED", false]);
    assert.match(failure.message, /truncated/);
  });
});

void suite("lost replies", () => {
  /** Loses the answer to the first request that `matches`, which was served. */
  const losing = (matches: (kind: string, url: URL) => boolean): TestContextFields => ({
    around: (transport) => {
      let isLost = false;
      return {
        close: () => transport.close(),
        request: async (request) => {
          const answer = await transport.request(request);
          if (isLost || !matches(request.method, request.url)) return answer;
          isLost = true;
          throw Object.assign(new Error("lost"), { code: "ECONNRESET" });
        },
      };
    },
  });

  test("a completion is known by its upload", async () => {
    const isCompletion = (method: string, url: URL): boolean =>
      method === "POST" && url.searchParams.has("uploadId");
    const { storage } = await open({}, losing(isCompletion));
    const upload = await storage.startUpload!("base/x");
    const piece = new Uint8Array(upload.pieceBytes);
    await upload.write(0, piece);
    await failureOf(upload.finish(1, pattern(7, 1)));
    await upload.finish(1, pattern(7, 1));
    await upload.finish(1, pattern(7, 1));
    assert.equal((await storage.stat("base/x")).size, piece.length + 7);
    assert.equal((await failureOf(storage.startUpload!("base/x"))).code, "STORAGE_EXISTS");
  });

  test("so is a body of one piece", async () => {
    const { storage } = await open(
      {},
      losing((method) => method === "PUT"),
    );
    const upload = await storage.startUpload!("base/x");
    await failureOf(upload.finish(0, pattern(7, 1)));
    await upload.finish(0, pattern(7, 1));
    sameBytes(await storage.get("base/x"), pattern(7, 1));
  });

  test("another object of that name is not", async () => {
    const { storage } = await open();
    const upload = await storage.startUpload!("base/x");
    await upload.write(0, new Uint8Array(upload.pieceBytes));
    double.objects.set("base/x", { body: Buffer.alloc(3), headers: {} });
    const failure = await failureOf(upload.finish(1, pattern(7, 1)));
    assert.equal(failure.code, "STORAGE_EXISTS");
  });
});

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
      const { storage } = await open();
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
    const { storage } = await open();
    const said = saidError(503, "SlowDown", "slow");
    double.answer = () => ({ ...said, headers: { "retry-after": "7" } });
    assert.equal((await failureOf(storage.get("data/x"))).retryAfter, 7000);
  });

  test("a missing bucket is never an empty one", async () => {
    const { storage } = await open();
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
    const { storage } = await open();
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
    const { storage } = await open();
    const upload = await storage.startUpload!("base/x");
    await upload.write(0, new Uint8Array(upload.pieceBytes));
    const said = {
      ...saidError(200, "InternalError", "We encountered an internal error"),
      status: 200,
    };
    once(said, ({ method }) => method === "POST");
    const failure = await failureOf(upload.finish(1, pattern(1, 1)));
    assert.deepEqual([failure.code, failure.retryable], ["STORAGE_UNAVAILABLE", true]);
    await upload.finish(1, pattern(1, 1));
  });

  test("deletions tell which object could not be deleted", async () => {
    const { storage } = await open();
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
    const { storage } = await open();
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

  test("the time that the service tells is signed with", async () => {
    const { storage } = await open();
    const later = new Date(Date.now() + 3_600_000).toUTCString();
    const said = saidError(403, "RequestTimeTooSkewed", "too early");
    once({ ...said, headers: { ...said.headers, date: later } });
    double.objects.set("data/x", { body: Buffer.alloc(3), headers: {} });
    assert.equal((await storage.get("data/x")).length, 3);
  });
});

test("no message repeats a credential or what was signed", async () => {
  const { storage } = await open();
  const session = await open({
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
