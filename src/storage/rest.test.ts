// What the suite of the contract cannot ask of a REST server: its own names, passwords, refusals, and lost answers.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { backendContext } from "../../test/backend-context.ts";
import { peer } from "../../test/peers.ts";
import { startProxy } from "../../test/rest/proxy.ts";
import type { Proxy } from "../../test/rest/proxy.ts";
import { startRestServer } from "../../test/rest/server.ts";
import type { RestServer } from "../../test/rest/server.ts";
import { sha256Hex } from "../base/bytes.ts";
import type { ErrorCode, HoldfastError } from "../base/errors.ts";
import { collect, failsWith, keysOf, MIB, pattern, sameBytes } from "./conformance/expectations.ts";
import { openRestStorage } from "./rest.ts";
import { restFromLocation } from "./rest/settings.ts";
import type { Storage } from "./storage.ts";

async function openAt(
  target: string,
  given: Parameters<typeof backendContext>[0] = {},
): Promise<Storage> {
  const context = backendContext(given);
  return await openRestStorage(restFromLocation(target, context), context);
}

/** A key of the given type that is the hash of `body`. */
function keyFor(type: string, body: Uint8Array): string {
  const id = sha256Hex(body);
  return type === "data" ? `data/${id.slice(0, 2)}/${id}` : `${type}/${id}`;
}

async function refused(
  code: ErrorCode,
  call: Promise<unknown>,
  message: RegExp,
): Promise<HoldfastError> {
  let told: HoldfastError | undefined;
  await assert.rejects(call, (error: HoldfastError) => {
    told = error;
    assert.equal(error.code, code, error.message);
    assert.match(`${error.message}\n${error.hint}`, message);
    assert.doesNotMatch(`${error.message}\n${error.hint}`, /geheim/);
    return true;
  });
  return told!;
}

describe("a rest-server that checks names", { skip: peer("rest-server").skip }, () => {
  let server: RestServer;
  let proxy: Proxy;
  before(async () => {
    server = await startRestServer();
    proxy = await startProxy(server.listen);
  });
  after(async () => {
    await proxy.close();
    await server.close();
  });

  test("types are told apart, and packs lie in folders", async () => {
    const storage = await openAt(server.location("/types/"), { create: true });
    const keys = ["data", "keys", "locks", "snapshots", "index"].map((type) =>
      keyFor(type, pattern(9, 1)),
    );
    for (const key of keys) await storage.put(key, pattern(9, 1));
    await storage.put("config", pattern(5, 5));
    assert.deepEqual(await keysOf(storage, ""), [...keys, "config"].toSorted());
    const pack = keys[0]!;
    assert.deepEqual(await keysOf(storage, pack.slice(0, 7)), [pack]);
    assert.deepEqual(await keysOf(storage, "data/zz/"), []);
    assert.deepEqual(await collect(storage.list("index")), [{ key: keys[4], size: 9 }]);
    assert.ok(existsSync(join(server.folder, "types", pack)));
    await storage.deleteMany(keys);
    assert.deepEqual(await keysOf(storage, ""), ["config"]);
    await storage.close();
  });

  test("other names are never there, and cannot be written", async () => {
    const storage = await openAt(server.location("/names/"), { create: true });
    const id = sha256Hex(pattern(1, 1));
    for (const key of [
      "state.json",
      `data/00/${"f".repeat(64)}`,
      `data/${id}`,
      `keys/${id}/x`,
      "data",
      "keys",
    ]) {
      await failsWith("STORAGE_NOT_FOUND", key, storage.get(key));
      await failsWith("STORAGE_NOT_FOUND", key, storage.stat(key));
      await storage.delete(key);
      await failsWith("STORAGE_FAILED", key, storage.put(key, pattern(1, 1)));
      assert.deepEqual(await keysOf(storage, key), []);
    }
    assert.equal(storage.startUpload, undefined);
    await storage.close();
  });

  test("a repository that is not there is told as such where nothing else can be meant", async () => {
    const storage = await openAt(server.location("/absent/"));
    await failsWith("STORAGE_NOT_FOUND", "keys", collect(storage.list("keys/")));
    await failsWith("STORAGE_NOT_FOUND", "config", storage.get("config"));
    await storage.close();
  });

  test("bytes that are not what their name says are refused", async () => {
    const storage = await openAt(server.location("/hashes/"), { create: true });
    const key = keyFor("data", pattern(9, 1));
    await refused("STORAGE_FAILED", storage.put(key, pattern(9, 2)), /write data/);
    await storage.put(key, pattern(9, 1));
    await storage.put(key, pattern(9, 1));
    await refused("STORAGE_EXISTS", storage.put(key, pattern(9, 2)), /different content/);
    await storage.close();
  });

  test("a put whose answer was lost is success when it is repeated", async () => {
    const storage = await openAt(`http://${proxy.listen}/lost/`, { create: true });
    const body = pattern(MIB, 3);
    proxy.onAnswer = ({ request, response }) => {
      if (request.method !== "POST") return false;
      response.destroy();
      return true;
    };
    const error = await refused(
      "STORAGE_UNAVAILABLE",
      storage.put(keyFor("data", body), body),
      /write data/,
    );
    assert.equal(error.retryable, true);
    proxy.onAnswer = undefined;
    await storage.put(keyFor("data", body), body);
    await storage.close();
  });

  test("a name that somebody else took meanwhile is compared", async () => {
    const storage = await openAt(`http://${proxy.listen}/raced/`, { create: true });
    const direct = await openAt(server.location("/raced/"));
    await direct.put("config", pattern(10, 1));
    let hidden = 0;
    proxy.onAnswer = ({ request, response }) => {
      if (request.method !== "HEAD" || hidden++ > 0) return false;
      response.writeHead(404).end();
      return true;
    };
    await storage.put("config", pattern(10, 1));
    hidden = 0;
    await refused("STORAGE_EXISTS", storage.put("config", pattern(10, 2)), /config/);
    proxy.onAnswer = undefined;
    sameBytes(await direct.get("config"), pattern(10, 1));
    await Promise.all([storage.close(), direct.close()]);
  });

  test("an answer that breaks off is continued where it stopped", async () => {
    const storage = await openAt(`http://${proxy.listen}/torn/`, { create: true });
    const body = pattern(4 * MIB, 4);
    const key = keyFor("data", body);
    await storage.put(key, body);
    const asked: (string | undefined)[] = [];
    proxy.onAnswer = ({ request, answer, response }) => {
      asked.push(request.headers.range);
      response.writeHead(answer.statusCode!, answer.headers);
      let passed = 0;
      answer.on("data", (chunk: Buffer) => {
        passed += chunk.length;
        response.write(chunk);
        // It goes out before the connection is cut: a destroyed one would drop what is queued.
        if (passed > MIB) response.write("", () => response.socket?.end());
      });
      answer.on("end", () => void response.end());
      return true;
    };
    const into = new Uint8Array(body.length - 7);
    const read = await storage.get(key, { offset: 7, length: into.length, into });
    assert.equal(read.buffer, into.buffer);
    sameBytes(read, body.subarray(7));
    assert.ok(asked.length >= 3, asked.join(" "));
    assert.equal(asked[0], `bytes=7-${body.length - 1}`);
    assert.ok(
      asked.every(
        (range, i) => i === 0 || Number(/\d+/.exec(range!)) > Number(/\d+/.exec(asked[i - 1]!)),
      ),
    );
    sameBytes(await storage.get(key), body);
    proxy.onAnswer = undefined;
    await storage.close();
  });

  test("an answer without progress is left to the retries", async () => {
    const storage = await openAt(`http://${proxy.listen}/stuck/`, { create: true });
    await storage.put("config", pattern(1000, 1));
    proxy.onAnswer = ({ answer, response }) => {
      response.writeHead(answer.statusCode!, answer.headers);
      response.flushHeaders();
      response.socket?.end();
      return true;
    };
    const error = await refused("STORAGE_UNAVAILABLE", storage.get("config"), /read config/);
    assert.equal(error.retryable, true);
    proxy.onAnswer = undefined;
    await storage.close();
  });

  test("what answers may be no REST server", async () => {
    const storage = await openAt(`http://${proxy.listen}/other/`);
    proxy.onAnswer = ({ response }) => {
      response.writeHead(200, { "content-type": "text/html" }).end("<h1>Welcome</h1>");
      return true;
    };
    await refused("STORAGE_FAILED", collect(storage.list("keys")), /no list of objects/);
    proxy.onAnswer = ({ response }) => {
      response.writeHead(301, { location: "https://elsewhere/" }).end();
      return true;
    };
    await refused("STORAGE_FAILED", storage.get("config"), /another address/);
    // A proxy that drops Range: the wrong bytes must not be taken for the right ones.
    proxy.onAnswer = ({ response }) => {
      response.writeHead(200).end(Buffer.alloc(50));
      return true;
    };
    await refused(
      "STORAGE_FAILED",
      storage.get("config", { offset: 10, length: 50 }),
      /ignores ranges/,
    );
    proxy.onAnswer = undefined;
    await storage.close();
  });

  test("it tells what it is", async () => {
    const storage = await openAt(server.location("/facts/"), { create: true });
    const facts = await storage.inspect!();
    assert.deepEqual(
      facts.map(({ name, value }) => [name, value]),
      [
        ["server", undefined],
        ["protocol-version", "2"],
        ["append-only", undefined],
      ],
    );
    await storage.close();
  });
});

describe("a rest-server with passwords", { skip: peer("rest-server").skip }, () => {
  let server: RestServer;
  const hash = createHash("sha1").update("geheim/@").digest("base64");
  before(async () => {
    const args = ["--private-repos", "--append-only"];
    server = await startRestServer({ args, htpasswd: `odoo:{SHA}${hash}\n` });
  });
  after(() => server.close());

  test("user and password come from the location or from the variables", async () => {
    const target = `http://odoo:geheim%2F%40@${server.listen}/odoo/`;
    const storage = await openAt(target, { create: true });
    assert.equal(storage.location, `rest:http://odoo:***@${server.listen}/odoo/`);
    await storage.put("config", pattern(5, 1));
    const env = { RESTIC_REST_USERNAME: "odoo", RESTIC_REST_PASSWORD: "geheim/@" };
    const other = await openAt(`http://${server.listen}/odoo`, { env });
    sameBytes(await other.get("config"), pattern(5, 1));
    await Promise.all([storage.close(), other.close()]);
  });

  test("without them, with wrong ones, or at another's path it is a refusal", async () => {
    const anonymous = await openAt(`http://${server.listen}/odoo/`);
    await refused("STORAGE_DENIED", anonymous.get("config"), /RESTIC_REST_USERNAME/);
    const wrong = await openAt(`http://odoo:geheim@${server.listen}/odoo/`);
    await refused("STORAGE_DENIED", wrong.put("config", pattern(1, 1)), /user, password/);
    const facts = await wrong.inspect!();
    assert.match(facts[1]!.note!, /401/);
    const elsewhere = await openAt(`http://odoo:geheim%2F%40@${server.listen}/other/`);
    await refused("STORAGE_DENIED", elsewhere.get("config"), /user's name/);
    await refused("STORAGE_DENIED", elsewhere.put("config", pattern(1, 1)), /user's name/);
    const making = openAt(`http://odoo:geheim%2F%40@${server.listen}/other/`, { create: true });
    await refused("STORAGE_DENIED", making, /create/);
    await Promise.all([anonymous.close(), wrong.close(), elsewhere.close()]);
  });

  test("what may only append deletes locks and nothing else", async () => {
    const storage = await openAt(`http://odoo:geheim%2F%40@${server.listen}/odoo/a/`, {
      create: true,
    });
    const body = pattern(20, 2);
    for (const type of ["data", "locks"]) await storage.put(keyFor(type, body), body);
    await storage.put(keyFor("data", body), body);
    await storage.delete(keyFor("locks", body));
    await refused("STORAGE_DENIED", storage.delete(keyFor("data", body)), /--append-only/);
    await storage.delete(keyFor("data", pattern(20, 3)));
    assert.deepEqual(await keysOf(storage, ""), [keyFor("data", body)]);
    await storage.close();
  });
});

test("addresses", () => {
  const parse = (target: string): string => {
    const { url, socketPath, credentials, location } = restFromLocation(target, backendContext());
    return [
      url.href,
      socketPath ?? "",
      credentials ? `${credentials.user}+${credentials.password}` : "",
      location,
    ].join(" ");
  };
  const known: [string, string][] = [
    ["http://host:8000", "http://host:8000/   rest:http://host:8000"],
    ["https://host/a/b", "https://host/a/b/   rest:https://host/a/b"],
    ["https://u:p%40@host/a/", "https://host/a/  u+p@ rest:https://u:***@host/a/"],
    [
      "http+unix:///run/r.sock:/a/",
      "http://localhost/a/ /run/r.sock  rest:http+unix:///run/r.sock:/a/",
    ],
    [
      "http+unix://u:p@/run/r.sock:/a",
      "http://localhost/a/ /run/r.sock u+p rest:http+unix://u:***@/run/r.sock:/a",
    ],
  ];
  for (const [target, expected] of known) assert.equal(parse(target), expected);
  for (const target of [
    "host/a",
    "ftp://host/",
    "http://",
    "http://u:gehe%im@host/",
    "http://host/?geheim",
    "http://u:geheim/x@host:port/",
  ]) {
    assert.throws(
      () => parse(target),
      (error: HoldfastError) => {
        assert.equal(error.code, "USAGE", target);
        assert.doesNotMatch(error.message, /gehe%im|geheim\/x/);
        return true;
      },
    );
  }
});
