import assert from "node:assert/strict";
import { suite, test, type TestContext } from "node:test";
import { FakeClock, settle } from "../../../test/fake-clock.ts";
import { startApiDouble, type ApiDouble } from "../../../test/kubernetes/api-double.ts";
import { systemRandom } from "../../base/clock.ts";
import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { ClusterApi, WatchEvent, WatchOptions } from "./cluster-api.ts";
import { startInformer, type Informer, type InformerOptions } from "./informer.ts";
import { CONFIG_MAP } from "./kinds.ts";
import type { ConfigMap } from "./kube-object.ts";

const configMap = (name: string, value = "1"): ConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "default", labels: { value } },
  data: { value },
});

interface Started {
  readonly double: ApiDouble;
  readonly api: ClusterApi;
  readonly clock: FakeClock;
  readonly informer: Informer<ConfigMap>;
  readonly errors: unknown[];
  readonly seen: string[];
  /** What the store holds is what the server has. */
  equal(): void;
}

async function start(
  t: TestContext,
  options: Partial<InformerOptions<ConfigMap>> = {},
  prepare: (double: ApiDouble) => void = () => {},
): Promise<Started> {
  const double = await startApiDouble();
  prepare(double);
  const stop = new AbortController();
  const clock = new FakeClock();
  const errors: unknown[] = [];
  const api = double.api();
  const informer = startInformer({
    api,
    kind: CONFIG_MAP,
    clock,
    random: systemRandom,
    signal: stop.signal,
    onError: (error) => void errors.push(error),
    ...options,
  });
  const seen: string[] = [];
  informer.store.onChange(({ before, after }) => {
    const verb = before === undefined ? "+" : after === undefined ? "-" : "~";
    seen.push(`${verb}${(after ?? before)!.metadata.name}`);
  });
  t.after(async () => {
    stop.abort();
    await informer.stopped;
    await double.close();
  });
  await double.quiet();
  const equal = (): void => {
    const there = double.objects.list(CONFIG_MAP).map(({ metadata }) => metadata.resourceVersion);
    const kept = informer.store.list().map(({ metadata }) => metadata.resourceVersion);
    assert.deepEqual(new Set(kept), new Set(there));
    assert.equal(kept.length, there.length);
  };
  return { double, api, clock, informer, errors, seen, equal };
}

suite("a store that a watch keeps", () => {
  test("holds what was there and what came, with its indexes, and tells each change once", async (t) => {
    const indexes = { value: ({ data }: ConfigMap): string[] => [data?.["value"] ?? ""] };
    const { api, double, informer, seen, equal } = await start(t, { indexes }, (before) =>
      before.objects.put(CONFIG_MAP, configMap("old")),
    );
    await informer.synced;
    await api.create(CONFIG_MAP, configMap("new"));
    await api.patch(
      CONFIG_MAP,
      { namespace: "default", name: "old" },
      { data: { value: "2" } },
      { type: "merge" },
    );
    await api.delete(CONFIG_MAP, { namespace: "default", name: "new" });
    await double.quiet();
    assert.deepEqual(seen, ["+old", "+new", "~old", "-new"]);
    equal();
    const { store } = informer;
    assert.equal(store.get("default", "old")?.data?.["value"], "2");
    assert.deepEqual(
      store.indexed("value", "2").map(({ metadata }) => metadata.name),
      ["old"],
    );
    assert.deepEqual(store.indexed("value", "1"), []);
    assert.deepEqual(store.list("elsewhere"), []);
    assert.equal(double.countCalls({ verb: "list", plural: "configmaps" }), 1);
  });

  test("goes on where a broken connection ended, without listing again", async (t) => {
    const { double, clock, seen, equal, errors } = await start(t);
    double.cutWatches();
    double.objects.put(CONFIG_MAP, configMap("meanwhile"));
    await double.quiet();
    await clock.advance(30_000);
    await double.quiet();
    assert.deepEqual(seen, ["+meanwhile"]);
    assert.equal(double.countCalls({ verb: "list", plural: "configmaps" }), 1);
    assert.equal(errors.length, 1);
    equal();
  });

  test("lists again when the server forgot, and finds what was deleted and made anew", async (t) => {
    const { double, clock, seen, equal } = await start(t, {}, (before) => {
      for (const name of ["stays", "goes", "anew"]) before.objects.put(CONFIG_MAP, configMap(name));
    });
    seen.length = 0;
    double.cutWatches();
    double.objects.remove(CONFIG_MAP, "default", "goes");
    double.objects.remove(CONFIG_MAP, "default", "anew");
    double.objects.put(CONFIG_MAP, configMap("anew"));
    double.compact();
    await double.quiet();
    for (let i = 0; i < 3; i++) {
      await clock.advance(30_000);
      await double.quiet();
    }
    assert.deepEqual(seen, ["-goes", "-anew", "+anew"]);
    assert.equal(double.countCalls({ verb: "list", plural: "configmaps" }), 2);
    equal();
  });

  test("survives an outage, rubbish on the wire and a listener that throws", async (t) => {
    const { double, clock, informer, errors, equal } = await start(t);
    informer.store.onChange(() => {
      throw new Error("a listener");
    });
    double.objects.put(CONFIG_MAP, configMap("one"));
    await double.quiet();
    assert.match(String(errors[0]), /a listener/);
    double.watches.sendRaw("{half\n");
    await double.quiet();
    await double.stop();
    await clock.advance(120_000);
    double.objects.put(CONFIG_MAP, configMap("two"));
    await double.start();
    for (let i = 0; i < 4; i++) {
      await clock.advance(30_000);
      await double.quiet();
    }
    equal();
    assert.ok(errors.some((error) => isHoldfastError(error, "CLUSTER_UNREACHABLE")));
  });

  test("reads thousands in pages, and again in one when the pages are forgotten halfway", async (t) => {
    const { double, clock, equal, informer } = await start(
      t,
      { slim: ({ data: _, ...rest }) => rest },
      (before) => {
        for (let i = 0; i < 1201; i++) before.objects.put(CONFIG_MAP, configMap(`c-${i}`));
        // As the second page is asked for, what the first one was cut from is forgotten.
        let calls = 0;
        before.fault(({ verb }) => {
          if (verb === "list" && ++calls === 2) {
            before.objects.put(CONFIG_MAP, configMap("later"));
            before.compact();
          }
          return false;
        }, "hang");
      },
    );
    await clock.advance(0);
    await double.quiet();
    await informer.synced;
    equal();
    assert.equal(informer.store.list().length, 1202);
    assert.equal(informer.store.get("default", "c-7")?.data, undefined);
    // The first page, the second that was refused, and all at once.
    assert.equal(double.countCalls({ verb: "list", plural: "configmaps" }), 3);
  });

  test("is told that it cannot be read, and reads when it may", async (t) => {
    const { double, clock, informer, errors } = await start(t, {}, (before) =>
      before.fault(
        { verb: "list" },
        { status: 403, message: "configmaps is forbidden" },
        { times: 3 },
      ),
    );
    for (let i = 0; i < 6; i++) {
      await clock.advance(30_000);
      await double.quiet();
    }
    await informer.synced;
    assert.equal(errors.length, 3);
    assert.ok(errors.every((error) => isHoldfastError(error, "CLUSTER_DENIED")));
  });
});

/** A server of which only watches and lists are asked, each as the script says. */
function scripted(
  watch: (options: WatchOptions, call: number) => AsyncIterable<WatchEvent<ConfigMap>>,
): {
  api: ClusterApi;
  watches: WatchOptions[];
  lists: number;
} {
  const calls = { watches: [] as WatchOptions[], lists: 0 };
  const api = {
    list: () => {
      calls.lists += 1;
      return Promise.resolve({ items: [], resourceVersion: "5" });
    },
    watch: (_: unknown, options: WatchOptions) => {
      calls.watches.push(options);
      return watch(options, calls.watches.length);
    },
  } as unknown as ClusterApi;
  return Object.assign(calls, { api });
}

function run(t: TestContext, api: ClusterApi): { clock: FakeClock; errors: unknown[] } {
  const clock = new FakeClock();
  const stop = new AbortController();
  const errors: unknown[] = [];
  const informer = startInformer<ConfigMap>({
    api,
    kind: CONFIG_MAP,
    clock,
    random: (length) => new Uint8Array(length),
    signal: stop.signal,
    onError: (error) => void errors.push(error),
  });
  t.after(async () => {
    stop.abort();
    await informer.stopped;
  });
  return { clock, errors };
}

async function* nothing(): AsyncGenerator<WatchEvent<ConfigMap>> {}

/** Says `events`, then nothing, until it is aborted. */
async function* silent(
  signal: AbortSignal,
  events: WatchEvent<ConfigMap>[] = [],
): AsyncGenerator<WatchEvent<ConfigMap>> {
  yield* events;
  await new Promise((_, reject) =>
    signal.addEventListener("abort", () => reject(new Error("aborted"))),
  );
}

suite("how often the server is asked", () => {
  test("a server that ends watches at once: once a second", async (t) => {
    const server = scripted(nothing);
    const { clock } = run(t, server.api);
    await clock.advance(60_000);
    assert.ok(
      server.watches.length >= 59 && server.watches.length <= 62,
      `${server.watches.length}`,
    );
    assert.equal(server.lists, 1);
  });

  test("a server that refuses: ever more rarely, up to 30 s, and listing again after three failures", async (t) => {
    const server = scripted(() => {
      throw new HoldfastError("CLUSTER_FAILED", "no", { retryable: true });
    });
    const { clock, errors } = run(t, server.api);
    await clock.advance(600_000);
    assert.ok(errors.length > 15 && errors.length < 70, `${errors.length}`);
    assert.ok(server.lists >= errors.length - 4);
  });

  test("what the server asked for is kept", async (t) => {
    const server = scripted(() => {
      throw new HoldfastError("CLUSTER_FAILED", "no", { retryable: true, retryAfter: 25_000 });
    });
    const { clock, errors } = run(t, server.api);
    await clock.advance(24_000);
    assert.equal(errors.length, 1);
    await clock.advance(2_000);
    assert.equal(errors.length, 2);
  });

  test("a watch without a word is cut: after its own time, or soon where bookmarks used to come", async (t) => {
    const server = scripted(({ signal }, call) =>
      silent(signal!, call === 1 ? [] : [{ type: "BOOKMARK", resourceVersion: String(40 + call) }]),
    );
    const { clock, errors } = run(t, server.api);
    await settle();
    assert.equal(server.watches[0]?.timeoutSeconds, 240);
    await clock.advance(269_000);
    assert.equal(errors.length, 0);
    await clock.advance(5_000);
    assert.equal(errors.length, 1);
    assert.equal(server.watches.length, 2);
    await clock.advance(140_000);
    assert.equal(errors.length, 1);
    await clock.advance(12_000);
    assert.equal(errors.length, 2);
    assert.match(String(errors[1]), /fell silent/);
    // From the bookmark on, not from the list.
    assert.equal(server.watches.at(-1)?.resourceVersion, "42");
    assert.equal(server.lists, 1);
  });
});
