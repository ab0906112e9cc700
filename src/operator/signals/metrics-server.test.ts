// The metrics server: who is let in, by the cluster's own word, how seldom it is asked, and what the probes say.

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { request as plainRequest } from "node:http";
import { request as tlsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { FakeClock } from "../../../test/fake-clock.ts";
import { systemRandom } from "../../base/clock.ts";
import { HoldfastError } from "../../base/errors.ts";
import type { ClusterApi } from "../cluster/cluster-api.ts";
import type { Kind } from "../cluster/kinds.ts";
import type { KubeObject } from "../cluster/kube-object.ts";
import {
  startMetricsServer,
  type MetricsServer,
  type MetricsServerOptions,
} from "./metrics-server.ts";
import { selfSigned } from "./self-signed.ts";

const LOOPBACK = { host: "127.0.0.1", port: 0 };

/** The two reviews, as an API server answers them: `prometheus` may read, `stranger` is known but may not. */
function reviewing(): { api: ClusterApi; asked: string[]; down: { now: boolean } } {
  const asked: string[] = [];
  const down = { now: false };
  const answer = (kind: Kind, object: KubeObject): KubeObject => {
    if (down.now) throw new HoldfastError("CLUSTER_UNREACHABLE", "no answer");
    const { spec } = object as KubeObject & { spec: Record<string, unknown> };
    asked.push(kind.kind);
    if (kind.kind === "TokenReview") {
      const known = ["prometheus", "stranger"].includes(spec["token"] as string);
      const user = { username: `system:serviceaccount:m:${String(spec["token"])}`, groups: ["g"] };
      return { ...object, status: known ? { authenticated: true, user } : {} } as KubeObject;
    }
    assert.deepEqual(spec["nonResourceAttributes"], { path: "/metrics", verb: "get" });
    assert.deepEqual(spec["groups"], ["g"]);
    const allowed = String(spec["user"]).endsWith(":prometheus");
    return { ...object, status: { allowed } } as KubeObject;
  };
  const create = (kind: Kind, object: KubeObject): Promise<KubeObject> =>
    new Promise((resolve) => resolve(answer(kind, object)));
  return { api: { create } as unknown as ClusterApi, asked, down };
}

async function start(
  t: TestContext,
  options: Partial<MetricsServerOptions>,
): Promise<MetricsServer & { readonly clock: FakeClock }> {
  const clock = new FakeClock();
  const server = await startMetricsServer({
    text: () => "metric 1\n",
    healthy: () => true,
    missing: () => undefined,
    clock,
    random: systemRandom,
    signal: t.signal,
    ...options,
  });
  t.after(() => server.close());
  return { ...server, clock };
}

interface Answer {
  readonly status: number | undefined;
  readonly body: string;
}

function ask(
  request: typeof plainRequest,
  address: AddressInfo | undefined,
  path: string,
  { token, method = "GET" }: { token?: string; method?: string } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const options = { host: "127.0.0.1", port: address?.port, path, method, headers };
    const call = request(
      { ...options, rejectUnauthorized: false } as typeof options,
      (response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (piece: string) => (body += piece));
        response.on("end", () => resolve({ status: response.statusCode, body }));
      },
    );
    call.on("error", reject).end();
  });
}

test("metrics are for those whom the cluster lets get them, and it is asked once a minute", async (t) => {
  const { api, asked, down } = reviewing();
  const { metrics, clock } = await start(t, { guard: { api }, metrics: LOOPBACK });
  const get = async (token?: string): Promise<number | undefined> =>
    (await ask(tlsRequest, metrics, "/metrics", token === undefined ? {} : { token })).status;
  assert.equal(await get(), 401);
  assert.equal(await get("nobody"), 401);
  assert.equal(await get("stranger"), 403);
  assert.equal(await get("prometheus"), 200);
  const before = asked.length;
  down.now = true;
  assert.equal(await get("prometheus"), 200, "from memory");
  assert.equal(asked.length, before);
  await clock.advance(61_000);
  assert.equal(await get("prometheus"), 503, "nobody is let in on old words");
  down.now = false;
  assert.equal(await get("prometheus"), 200, "and a failure is not remembered");
});

test("many tokens at once are not passed on all at once", async (t) => {
  const { api } = reviewing();
  let open = 0;
  let most = 0;
  const create = api.create.bind(api);
  const slow: Pick<ClusterApi, "create"> = {
    create: async (...given) => {
      most = Math.max(most, ++open);
      await new Promise((resolve) => setImmediate(resolve));
      open -= 1;
      return create(...given);
    },
  };
  const { metrics } = await start(t, { guard: { api: slow as ClusterApi }, metrics: LOOPBACK });
  const tokens = Array.from({ length: 40 }, (_, i) => `token${i}`);
  const answers = await Promise.all(
    tokens.map((token) => ask(tlsRequest, metrics, "/metrics", { token })),
  );
  assert.ok(most <= 4, `${most} reviews at a time`);
  assert.ok(answers.every(({ status }) => status === 401 || status === 503));
});

test("only GET and only /metrics", async (t) => {
  const { metrics } = await start(t, { metrics: LOOPBACK });
  assert.equal((await ask(plainRequest, metrics, "/metrics?x")).body, "metric 1\n");
  assert.equal((await ask(plainRequest, metrics, "/metrics", { method: "POST" })).status, 405);
  assert.equal((await ask(plainRequest, metrics, "/debug")).status, 404);
});

test("a text that cannot be made is a 500 and not the end", async (t) => {
  let broken = true;
  const text = (): string => {
    if (broken) throw new Error("broken");
    return "metric 2\n";
  };
  const { metrics } = await start(t, { metrics: LOOPBACK, text });
  assert.equal((await ask(plainRequest, metrics, "/metrics")).status, 500);
  broken = false;
  assert.equal((await ask(plainRequest, metrics, "/metrics")).body, "metric 2\n");
});

test("probes say yes or no", async (t) => {
  let ready = false;
  const { probes } = await start(t, {
    probes: LOOPBACK,
    missing: () => (ready ? undefined : "the right to list pods"),
  });
  assert.equal((await ask(plainRequest, probes, "/healthz")).status, 200);
  assert.equal((await ask(plainRequest, probes, "/readyz")).status, 503);
  ready = true;
  assert.equal((await ask(plainRequest, probes, "/readyz")).status, 200);
  assert.equal((await ask(plainRequest, probes, "/metrics")).status, 404);
});

test("an address that is taken is told, and nothing stays open", async (t) => {
  const { probes } = await start(t, { probes: LOOPBACK });
  const taken = { host: "127.0.0.1", port: probes!.port };
  await assert.rejects(start(t, { metrics: LOOPBACK, probes: taken }), { code: "EADDRINUSE" });
});

test("the certificate of our own making is one, for every length of its numbers", () => {
  const now = Date.UTC(2026, 10, 26);
  for (let i = 0; i < 20; i++) {
    const { key, cert } = selfSigned({
      names: ["volsync-metrics", "localhost"],
      now,
      random: systemRandom,
    });
    const read = new X509Certificate(cert);
    assert.equal(read.subjectAltName, "DNS:volsync-metrics, DNS:localhost");
    assert.ok(read.verify(read.publicKey));
    assert.ok(key.includes("PRIVATE KEY"));
    assert.equal(read.validToDate.getUTCFullYear(), 2036);
    assert.ok(read.validFromDate.getTime() < now);
  }
  const late = selfSigned({ names: ["x"], now: Date.UTC(2045, 0, 1), random: systemRandom });
  assert.equal(new X509Certificate(late.cert).validToDate.getUTCFullYear(), 2054);
});
