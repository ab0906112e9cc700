// Objects and expectations that the cases of the contract share.

import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { isHoldfastError } from "../../../src/base/errors.ts";
import type { ApiClient } from "../../../src/operator/cluster/api-client.ts";
import type { ConfigMap, Job } from "../../../src/operator/cluster/kube-object.ts";
import type { ReplicationSource } from "../../../src/operator/resources/replication-source.ts";

/** One of the two that are compared. */
export interface Side {
  readonly api: ApiClient;
  /** Ends the server and starts it again; `during` runs while nobody answers. */
  restart(during: () => Promise<void>): Promise<void>;
  close(): Promise<void>;
}

/** Asks until it is so. */
export async function eventually(ask: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 240_000;
  while (!(await ask())) {
    assert.ok(Date.now() < deadline, "it never was so");
    // Whatever it waits for may need a turn of the event loop.
    await turn();
  }
}

export const configMap = (name: string, data: Record<string, string> = {}): ConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "contract", labels: { set: name.split("-")[0]! } },
  data,
});

export const source = (name: string): ReplicationSource =>
  ({
    apiVersion: "volsync.backube/v1alpha1",
    kind: "ReplicationSource",
    metadata: { name, namespace: "contract" },
    spec: {
      sourcePVC: "data",
      trigger: { manual: "one" },
      restic: { copyMethod: "Direct", repository: "r" },
    },
  }) as ReplicationSource;

export const job = (name: string): Job => ({
  apiVersion: "batch/v1",
  kind: "Job",
  metadata: { name, namespace: "contract" },
  spec: {
    suspend: true,
    template: { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] } },
  },
});

export const place = (name: string): { namespace: string; name: string } => ({
  namespace: "contract",
  name,
});

export async function refused(work: Promise<unknown>, code: string, text?: RegExp): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(isHoldfastError(error), String(error));
    assert.equal(error.code, code, error.message);
    if (text) assert.match(error.message, text);
    return true;
  });
}
