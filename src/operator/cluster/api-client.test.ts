import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test, type TestContext } from "node:test";
import type { TLSSocket } from "node:tls";
import { startApiDouble, type ApiDouble } from "../../../test/kubernetes/api-double.ts";
import { makeAuthority } from "../../../test/kubernetes/cluster.ts";
import { isHoldfastError, type ErrorCode, type HoldfastError } from "../../base/errors.ts";
import { createApiClient } from "./api-client.ts";
import { fixedCredentials, type ClusterConfig } from "./cluster-config.ts";
import { CONFIG_MAP, POD } from "./kinds.ts";
import type { ConfigMap } from "./kube-object.ts";

const PLACE = { namespace: "default", name: "a" };
const configMap: ConfigMap = { apiVersion: "v1", kind: "ConfigMap", metadata: PLACE, data: {} };

async function failure(work: Promise<unknown>, code: ErrorCode): Promise<HoldfastError> {
  const error = await work.then(
    () => assert.fail("it succeeded"),
    (thrown: unknown) => thrown,
  );
  assert.ok(isHoldfastError(error), String(error));
  assert.equal(error.code, code, error.message);
  return error;
}

async function withDouble(t: TestContext): Promise<ApiDouble> {
  const double = await startApiDouble();
  t.after(() => double.close());
  return double;
}

/** A server that answers as the test says; its address. */
async function withServer(t: TestContext, answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function clientOf(t: TestContext, config: ClusterConfig): ReturnType<typeof createApiClient> {
  const client = createApiClient(config);
  t.after(() => client.close());
  return client;
}

suite("what answers mean", () => {
  test("each status is its error, with the server's words, the right that lacks and how long to wait", async (t) => {
    const double = await withDouble(t);
    const api = double.api();
    const once = (status: number, retryAfter?: number): Promise<HoldfastError | undefined> => {
      double.fault(
        { verb: "create" },
        { status, ...(retryAfter ? { retryAfter } : {}), message: "because" },
      );
      return api.create(CONFIG_MAP, configMap).then(
        () => undefined,
        (error: HoldfastError) => error,
      );
    };
    const busy = await once(429, 7);
    assert.equal(busy?.code, "CLUSTER_FAILED");
    assert.deepEqual([busy?.retryable, busy?.retryAfter], [true, 7_000]);
    assert.match(busy!.message, /^cannot create ConfigMap default\/a: .*429.*because$/);
    for (const status of [500, 502, 503, 504]) assert.equal((await once(status))?.retryable, true);
    const denied = await once(403);
    assert.equal(denied?.code, "CLUSTER_DENIED");
    assert.match(denied!.hint!, /create configmaps in namespace default/);
    assert.equal((await once(410))?.code, "CLUSTER_GONE");
  });

  test("an answer that is lost, and a server that is gone, can be tried again", async (t) => {
    const double = await withDouble(t);
    const api = double.api();
    double.fault({ verb: "create" }, "drop-after");
    const lost = await failure(api.create(CONFIG_MAP, configMap), "CLUSTER_UNREACHABLE");
    assert.equal(lost.retryable, true);
    assert.ok(await api.get(CONFIG_MAP, PLACE));
    await failure(api.create(CONFIG_MAP, configMap), "CLUSTER_EXISTS");
    await double.stop();
    const gone = await failure(api.get(CONFIG_MAP, PLACE), "CLUSTER_UNREACHABLE");
    assert.match(gone.message, /ECONNREFUSED/);
    await double.start();
    assert.ok(await api.get(CONFIG_MAP, PLACE));
  });

  test("hostile and endless answers are bounded; what is no API server is told as such", async (t) => {
    let body = "";
    let status = 200;
    const url = await withServer(t, (_, response) => {
      response.writeHead(status, { "content-type": "text/html" });
      response.end(body);
    });
    const api = clientOf(t, {
      server: url,
      credentials: fixedCredentials({ token: "s3cret-token" }),
    });
    body = "<html>";
    await failure(api.get(CONFIG_MAP, PLACE), "CLUSTER_FAILED");
    body = "null";
    await failure(api.get(CONFIG_MAP, PLACE), "CLUSTER_FAILED");
    body = "{}";
    await failure(api.get(CONFIG_MAP, PLACE), "CLUSTER_FAILED");
    await failure(api.list(CONFIG_MAP), "CLUSTER_FAILED");
    status = 500;
    body = `Bearer s3cret-token \u001b[31m\u202e${"x".repeat(1_000_000)} the end`;
    const { message } = await failure(api.get(CONFIG_MAP, PLACE), "CLUSTER_FAILED");
    assert.ok(message.length < 1_300);
    assert.ok(
      !message.includes("s3cret-token") &&
        !message.includes("\u001b") &&
        !message.includes("\u202e"),
    );
  });

  test("a name that would be another path is asked of nobody, and a token that cannot be sent is not shown", async (t) => {
    const double = await withDouble(t);
    const api = double.api();
    for (const name of ["", ".", ".."]) {
      await failure(api.get(CONFIG_MAP, { namespace: "default", name }), "CLUSTER_INVALID");
      await failure(api.delete(CONFIG_MAP, { namespace: "default", name }), "CLUSTER_INVALID");
      await failure(api.list(CONFIG_MAP, { namespace: name }), "CLUSTER_INVALID");
    }
    await api.get(CONFIG_MAP, { namespace: "default", name: "../../x?y#z" });
    assert.equal(double.calls.at(-1)?.name, "../../x?y#z");
    assert.equal(double.calls.length, 1);
    const split = clientOf(t, {
      server: double.url,
      credentials: fixedCredentials({ token: "s3c\nret" }),
    });
    const { message } = await failure(split.get(CONFIG_MAP, PLACE), "CLUSTER_UNREACHABLE");
    assert.ok(!message.includes("s3c"), message);
  });

  test("many watches leave room for requests", async (t) => {
    const double = await withDouble(t);
    const api = double.api();
    const { resourceVersion } = await api.list(CONFIG_MAP);
    const stop = new AbortController();
    const watches = Array.from({ length: 80 }, async () => {
      for await (const _ of api.watch(CONFIG_MAP, { resourceVersion, signal: stop.signal }));
    });
    while (double.watches.count < 80) await new Promise((resolve) => setImmediate(resolve));
    await api.create(CONFIG_MAP, configMap);
    stop.abort();
    for (const each of await Promise.allSettled(watches)) assert.equal(each.status, "rejected");
  });

  test("a refused token is read again once; one that is refused again is an error without it", async (t) => {
    const asked: (string | undefined)[] = [];
    const url = await withServer(t, (request, response) => {
      asked.push(request.headers.authorization);
      const isGood = request.headers.authorization === "Bearer new";
      response.writeHead(isGood ? 200 : 401);
      response.end(
        JSON.stringify(isGood ? configMap : { kind: "Status", message: "Unauthorized: old" }),
      );
    });
    let token = "new";
    const refusals: boolean[] = [];
    const api = clientOf(t, {
      server: url,
      credentials: {
        get: ({ refused = false } = {}) => {
          refusals.push(refused);
          return Promise.resolve({ token: refused ? token : "old" });
        },
      },
    });
    assert.equal((await api.get(CONFIG_MAP, PLACE))?.metadata.name, "a");
    assert.deepEqual(refusals, [false, true]);
    token = "old";
    const error = await failure(api.get(CONFIG_MAP, PLACE), "CLUSTER_DENIED");
    assert.ok(!error.message.includes("old"), error.message);
    assert.deepEqual(asked, ["Bearer old", "Bearer new", "Bearer old", "Bearer old"]);
  });

  test("who we are and whom we act as", async (t) => {
    let headers: IncomingMessage["headers"] = {};
    const url = await withServer(t, (request, response) => {
      ({ headers } = request);
      response.end(JSON.stringify(configMap));
    });
    await clientOf(t, {
      server: `${url}/k8s/clusters/c-1/`,
      credentials: fixedCredentials({ basic: "me:secret" }),
      impersonate: { user: "other", groups: ["one", "two"] },
    }).get(CONFIG_MAP, PLACE);
    assert.equal(headers.authorization, `Basic ${Buffer.from("me:secret").toString("base64")}`);
    assert.equal(headers["impersonate-user"], "other");
    assert.equal(headers["impersonate-group"], "one, two");
    assert.match(headers["user-agent"] ?? "", /^holdfast\//);
  });

  test("requests are aborted, also before they begin and while they wait", async (t) => {
    const double = await withDouble(t);
    const api = double.api();
    await failure(api.get(CONFIG_MAP, PLACE, { signal: AbortSignal.abort() }), "CANCELLED");
    double.fault({ verb: "get" }, "hang");
    const stop = new AbortController();
    const waiting = api.get(CONFIG_MAP, PLACE, { signal: stop.signal });
    await double.quiet();
    stop.abort();
    await failure(waiting, "CANCELLED");
    double.fault({ verb: "get" }, "hang");
    const closed = api.get(CONFIG_MAP, PLACE);
    await double.quiet();
    api.close();
    await failure(closed, "CLUSTER_UNREACHABLE");
  });

  test("a watch with an endless line, or one that is no event, ends with an error", async (t) => {
    let line = "";
    const url = await withServer(t, (_, response) => {
      response.writeHead(200);
      response.write(line);
      if (line.endsWith("\n")) response.end();
      else {
        const more = (): boolean =>
          response.destroyed || (response.write("x".repeat(1 << 20)) && more());
        response.on("drain", more);
        more();
      }
    });
    const api = clientOf(t, { server: url });
    const watch = async (): Promise<void> => {
      for await (const _ of api.watch(POD, { resourceVersion: "1" }));
    };
    for (const text of [
      "secret words\n",
      '{"type":"ADDED"}\n',
      '{"type":"ADDED","object":{}}\n',
      "[]\n",
    ]) {
      line = text;
      const error = await watch().then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      assert.ok(isHoldfastError(error, "CLUSTER_UNREACHABLE", "CLUSTER_FAILED"), text);
      assert.ok(!error.message.includes("secret"));
    }
    line = '{"type":"ADDED","object":"';
    await failure(watch(), "CLUSTER_UNREACHABLE");
  });
});

test("TLS: the authority, the name, and a client certificate that changes", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-tls-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const authority = await makeAuthority(folder);
  const pair = await authority.issue({
    name: "server",
    subject: "/CN=server",
    hosts: ["DNS:api.example.org"],
  });
  const clients = await Promise.all(
    ["one", "two"].map((name) => authority.issue({ name, subject: `/CN=${name}` })),
  );
  const [ca, cert, key] = await Promise.all(
    [authority.certificate, pair.certificate, pair.key].map((path) => readFile(path, "utf8")),
  );
  const identities = await Promise.all(
    clients.map(async ({ certificate, key: private_ }) => ({
      certificate: await readFile(certificate, "utf8"),
      key: await readFile(private_, "utf8"),
    })),
  );
  const names: unknown[] = [];
  const server = createSecureServer(
    { cert: cert!, key: key!, ca: ca!, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      names.push((request.socket as TLSSocket).getPeerCertificate().subject?.CN);
      response.end(JSON.stringify(configMap));
    },
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const unknown = await failure(
    clientOf(t, { server: url }).get(CONFIG_MAP, PLACE),
    "CLUSTER_UNREACHABLE",
  );
  assert.equal(unknown.retryable, false);
  const unnamed = clientOf(t, { server: url, authorities: ca });
  const misnamed = await failure(unnamed.get(CONFIG_MAP, PLACE), "CLUSTER_UNREACHABLE");
  assert.match(misnamed.message, /ALTNAME/);
  let turn = 0;
  const api = clientOf(t, {
    server: url,
    authorities: ca,
    serverName: "api.example.org",
    credentials: { get: () => Promise.resolve(identities[turn]!) },
  });
  for (turn of [0, 0, 1]) assert.ok(await api.get(CONFIG_MAP, PLACE));
  assert.deepEqual(names, ["one", "one", "two"]);
  assert.ok(await clientOf(t, { server: url, insecure: true }).get(CONFIG_MAP, PLACE));
});
