// Cases of the contract: dry runs, lists, watches, and what the server says about itself.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { ApiClient } from "../../../src/operator/cluster/api-client.ts";
import type { WatchEvent } from "../../../src/operator/cluster/cluster-api.ts";
import { CONFIG_MAP, JOB, NODE, POD, SECRET } from "../../../src/operator/cluster/kinds.ts";
import type { KubeObject } from "../../../src/operator/cluster/kube-object.ts";
import { REPLICATION_SOURCE } from "../../../src/operator/resources/replication-source.ts";
import { configMap, place, refused } from "./contract-objects.ts";

/** Registers the cases. `client` gives the client of a cluster that has a namespace `contract` and our CRDs. */
export function readingCases(client: () => ApiClient): void {
  test("a dry run answers as if, and changes nothing", async () => {
    const api = client();
    const dry = await api.create(CONFIG_MAP, configMap("dry"), { dryRun: true });
    assert.equal(dry.metadata.name, "dry");
    assert.equal(await api.get(CONFIG_MAP, place("dry")), undefined);
    await refused(api.create(CONFIG_MAP, configMap("Dry"), { dryRun: true }), "CLUSTER_INVALID");
    await api.create(CONFIG_MAP, configMap("wet"));
    assert.equal(await api.delete(CONFIG_MAP, place("wet"), { dryRun: true }), true);
    assert.ok(await api.get(CONFIG_MAP, place("wet")));
  });

  test("lists: selectors, items that say what they are", async () => {
    const api = client();
    await Promise.all(
      ["set-1", "set-2", "other-1"].map((name) => api.create(CONFIG_MAP, configMap(name))),
    );
    const names = async (options: object): Promise<string[]> =>
      (await api.list(CONFIG_MAP, { namespace: "contract", ...options })).items
        .map(({ metadata }) => metadata.name)
        .filter((name) => /-\d$/.test(name));
    assert.deepEqual(await names({ labelSelector: "set=set" }), ["set-1", "set-2"]);
    assert.deepEqual(await names({ labelSelector: "set in (set, other)" }), [
      "other-1",
      "set-1",
      "set-2",
    ]);
    assert.deepEqual(await names({ labelSelector: "set!=set,!nothing" }), ["other-1"]);
    assert.deepEqual(await names({ fieldSelector: "metadata.name=set-2" }), ["set-2"]);
    await refused(
      api.list(CONFIG_MAP, { fieldSelector: "data.a=1" }),
      "CLUSTER_INVALID",
      /"data.a" is not a known field selector/,
    );
    const { items } = await api.list(CONFIG_MAP, { namespace: "contract" });
    assert.ok(items.every(({ kind, apiVersion }) => kind === "ConfigMap" && apiVersion === "v1"));
    assert.deepEqual((await api.list(NODE)).items, []);
  });

  test("a watch goes on from a list, through a selector", async () => {
    const api = client();
    const { resourceVersion } = await api.list(SECRET, { namespace: "contract" });
    const secret = (name: string, labels: Record<string, string>): KubeObject => ({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name, namespace: "contract", labels },
    });
    await api.create(SECRET, secret("seen", { see: "yes" }));
    await api.create(SECRET, secret("unseen", { see: "no" }));
    const stop = new AbortController();
    const seen: string[] = [];
    const watching = (async () => {
      const watch = api.watch(SECRET, {
        namespace: "contract",
        labelSelector: "see=yes",
        resourceVersion,
        signal: stop.signal,
      });
      for await (const event of watch) {
        if (event.type === "BOOKMARK") continue;
        seen.push(`${event.type} ${event.object.metadata.name}`);
        if (seen.length === 5) return;
      }
    })();
    await api.patch(
      SECRET,
      place("unseen"),
      { metadata: { labels: { see: "yes" } } },
      { type: "merge" },
    );
    await api.patch(
      SECRET,
      place("seen"),
      { metadata: { annotations: { "example.org/a": "1" } } },
      { type: "merge" },
    );
    await api.patch(
      SECRET,
      place("unseen"),
      { metadata: { labels: { see: "no" } } },
      { type: "merge" },
    );
    await api.delete(SECRET, place("seen"));
    await watching;
    assert.deepEqual(seen, [
      "ADDED seen",
      "ADDED unseen",
      "MODIFIED seen",
      "DELETED unseen",
      "DELETED seen",
    ]);
    stop.abort();
  });

  test("a watch that is aborted says so", async () => {
    const api = client();
    const stop = new AbortController();
    const { resourceVersion } = await api.list(POD, {});
    const events: WatchEvent<KubeObject>[] = [];
    const watching = (async () => {
      for await (const event of api.watch(POD, { resourceVersion, signal: stop.signal }))
        events.push(event);
    })();
    stop.abort();
    await refused(watching, "CANCELLED");
  });

  test("what is served, and what we may", async () => {
    const api = client();
    assert.equal(await api.serves(REPLICATION_SOURCE), true);
    assert.equal(await api.serves({ ...REPLICATION_SOURCE, plural: "replicationmirrors" }), false);
    assert.equal(await api.serves({ ...JOB, apiVersion: "batch/v9" }), false);
    await refused(api.list({ ...JOB, apiVersion: "batch/v9" }), "CLUSTER_NOT_FOUND");
    assert.equal(await api.allowed({ kind: JOB, verb: "create", namespace: "contract" }), true);
    assert.equal(await api.podLog(place("no-pod")), undefined);
  });
}
