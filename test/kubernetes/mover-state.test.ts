// What the operator reads of a mover's Job and pods, and whose locks it takes for dead.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { HoldfastError } from "../../src/base/errors.ts";
import type { ClusterApi } from "../../src/operator/cluster/cluster-api.ts";
import type { Job, Pod } from "../../src/operator/cluster/kube-object.ts";
import { deadLockOwners, recordMovers } from "../../src/operator/mover/dead-locks.ts";
import type { MoverOwner } from "../../src/operator/mover/owner.ts";
import { readRun } from "../../src/operator/mover/run-state.ts";
import type { RunState } from "../../src/operator/mover/run-state.ts";
import { statusLogs } from "../../src/operator/mover/status-logs.ts";
import { moverStores } from "./mover-stores.ts";

const NAMESPACE = "odoo";
const OWNER: MoverOwner = {
  apiVersion: "volsync.backube/v1alpha1",
  kind: "ReplicationSource",
  metadata: { name: "files", namespace: NAMESPACE, uid: "owner" },
  spec: { restic: { repository: "secret" } },
};

function jobOf(
  change: {
    owner?: string;
    name?: string;
    uid?: string;
    secret?: string;
    condition?: string;
    run?: string;
  } = {},
): Job {
  const {
    owner = "owner",
    name = "volsync-src-files",
    uid = "job",
    secret = "secret",
    condition,
  } = change;
  const value = { secretKeyRef: { name: secret, key: "RESTIC_REPOSITORY" } };
  const env = [{ name: "RESTIC_REPOSITORY", valueFrom: value }];
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name,
      namespace: NAMESPACE,
      uid,
      labels: { "holdfast.dev/run": change.run ?? "r1" },
      ownerReferences: [{ apiVersion: "v1", kind: "X", name: "x", uid: owner, controller: true }],
    },
    spec: { parallelism: 1, template: { spec: { containers: [{ name: "restic", env }] } } },
    ...(condition !== undefined && {
      status: { conditions: [{ type: condition, status: "True", message: "job says so" }] },
    }),
  };
}

interface PodSketch {
  readonly name?: string;
  readonly job?: string;
  readonly jobName?: string;
  readonly born?: string;
  readonly node?: string;
  readonly status?: Pod["status"];
}

function podOf({
  name = "p1",
  job = "job",
  jobName = "volsync-src-files",
  born = "1",
  node,
  status,
}: PodSketch): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: NAMESPACE,
      creationTimestamp: `2026-01-01T00:00:0${born}Z`,
      labels: { "job-name": jobName, "app.kubernetes.io/created-by": "volsync" },
      ownerReferences: [
        { apiVersion: "batch/v1", kind: "Job", name: jobName, uid: job, controller: true },
      ],
    },
    spec: { containers: [], ...(node !== undefined && { nodeName: node }) },
    ...(status !== undefined && { status }),
  };
}

function ended(exitCode: number, message = "", reason = "Error"): Pod["status"] {
  const terminated = { exitCode, reason, message };
  return {
    phase: exitCode === 0 ? "Succeeded" : "Failed",
    containerStatuses: [{ name: "restic", state: { terminated } }],
  };
}

function run(jobs: Job[], pods: Pod[]): RunState {
  return readRun({ stores: moverStores(jobs, pods) }, OWNER, "source");
}

const VERDICT = { v: 1, result: "ok", run: "r1", files: 3, snapshot: "a".repeat(64) };
const FAILED = {
  v: 1,
  result: "failed",
  run: "r1",
  problems: [
    {
      code: "WRONG_PASSWORD",
      message: "no key\u001b[2J opens",
      hint: "Check it.",
      retryable: false,
    },
  ],
};

suite("the state of a run", () => {
  test("no Job, or somebody else's", () => {
    assert.equal(run([], []).kind, "none");
    assert.equal(run([jobOf({ owner: "other" })], []).kind, "none");
  });

  test("succeeded, with what the mover said", () => {
    const state = run(
      [jobOf({ condition: "Complete" })],
      [podOf({ status: ended(0, JSON.stringify(VERDICT)) })],
    );
    assert.equal(state.kind, "succeeded");
    assert.equal("verdict" in state && state.verdict?.files, 3);
  });

  test("a verdict of another run, of another shape or of another Job's pod is none", () => {
    const lies = [
      JSON.stringify({ ...VERDICT, run: "r0" }),
      JSON.stringify({ ...VERDICT, v: 2 }),
      "[1]",
      "not JSON",
    ];
    for (const text of lies) {
      const state = run([jobOf({ condition: "Complete" })], [podOf({ status: ended(0, text) })]);
      assert.ok("verdict" in state && state.verdict === undefined, text);
    }
    const stranger = podOf({ job: "other", status: ended(0, JSON.stringify(VERDICT)) });
    const state = run([jobOf({ condition: "Complete" })], [stranger]);
    assert.ok("verdict" in state && state.verdict === undefined);
    const odd = {
      ...VERDICT,
      snapshot: "x",
      files: -1,
      problems: [{ code: "NONE" }, 3],
      locks: [{ id: "x" }],
    };
    const read = run(
      [jobOf({ condition: "Complete" })],
      [podOf({ status: ended(0, JSON.stringify(odd)) })],
    );
    assert.ok(
      "verdict" in read &&
        read.verdict?.snapshot === undefined &&
        read.verdict?.files === undefined,
    );
    assert.deepEqual("verdict" in read && read.verdict?.problems, []);
  });

  test("failed: the mover's own words, or else Kubernetes'", () => {
    const cases: [Pod["status"], string, RegExp, boolean][] = [
      [ended(78, JSON.stringify(FAILED)), "WrongPassword", /^no key \[2J opens$/, false],
      [ended(137, "", "OOMKilled"), "OutOfMemory", /ran out of memory/, true],
      [ended(137), "MoverKilled", /was killed/, true],
      [
        ended(1, "one\nFatal: no such image\nhint: none"),
        "MoverFailed",
        /status 1: Fatal: no such image/,
        true,
      ],
      [
        { phase: "Failed", reason: "Evicted", message: "disk pressure" },
        "Evicted",
        /disk pressure/,
        true,
      ],
      [
        {
          phase: "Failed",
          conditions: [{ type: "DisruptionTarget", status: "True", message: "node is gone" }],
        },
        "MoverDisrupted",
        /node is gone/,
        true,
      ],
      [{ phase: "Failed" }, "MoverFailed", /job says so/, true],
    ];
    for (const [status, reason, message, retryable] of cases) {
      const state = run([jobOf({ condition: "Failed" })], [podOf({ status })]);
      assert.equal(state.kind, "failed");
      if (state.kind !== "failed") continue;
      assert.equal(state.problem.reason, reason);
      assert.match(state.problem.message, message);
      assert.equal(state.problem.retryable, retryable);
    }
  });

  test("running: what keeps the pod from starting, and what the one before said", () => {
    const waiting = (reason: string): Pod["status"] => ({
      phase: "Pending",
      containerStatuses: [{ name: "restic", state: { waiting: { reason, message: "because" } } }],
    });
    const unscheduled: Pod["status"] = {
      phase: "Pending",
      conditions: [{ type: "PodScheduled", status: "False", message: "0/3 nodes" }],
    };
    const cases: [Pod["status"], string | undefined][] = [
      [waiting("ImagePullBackOff"), "ImagePullFailed"],
      [waiting("CreateContainerConfigError"), "ContainerNotCreated"],
      [waiting("ContainerCreating"), "MoverNotStarted"],
      [{ phase: "Pending" }, "MoverNotStarted"],
      [unscheduled, "Unschedulable"],
      [{ phase: "Running" }, undefined],
    ];
    for (const [status, reason] of cases) {
      const state = run([jobOf()], [podOf({ status, node: "n1" })]);
      assert.equal(state.kind === "running" && state.problem?.reason, reason);
    }
    const hintOf = (job: Job): string => {
      const state = run([job], []);
      return (state.kind === "running" && state.problem?.hint) || "";
    };
    assert.match(hintOf(jobOf()), /kubectl describe job -n \S+ volsync-src-files$/);
    const theirs = jobOf();
    theirs.metadata.labels = {};
    assert.match(hintOf(theirs), /VolSync made it: kubectl delete job -n \S+ volsync-src-files,/);
    const before = podOf({ name: "p0", born: "0", status: ended(78, JSON.stringify(FAILED)) });
    const state = run([jobOf()], [before, podOf({ status: { phase: "Running" } })]);
    assert.equal(state.kind === "running" && state.failures, 1);
    assert.equal(state.kind === "running" && state.problem?.reason, "WrongPassword");
    assert.equal(state.kind === "running" && state.pods[0]?.metadata.name, "p1");
  });
});

suite("locks of dead pods", () => {
  /** A cluster with these nodes. */
  const api = (...nodes: string[]): ClusterApi =>
    ({
      get: (_: unknown, { name }: { name: string }) =>
        Promise.resolve(nodes.includes(name) ? {} : undefined),
    }) as unknown as ClusterApi;
  const signal = new AbortController().signal;
  const dead = async (
    {
      jobs = [jobOf()],
      pods = [],
      movers,
      nodes = ["n1"],
    }: { jobs?: Job[]; pods?: Pod[]; movers?: string; nodes?: string[] },
    hostname = "p1",
  ): Promise<boolean> => {
    const owner =
      movers === undefined
        ? OWNER
        : { ...OWNER, status: { external: { "holdfast.dev/movers": movers } } };
    const context = { stores: moverStores(jobs, pods), api: api(...nodes), signal };
    return (await deadLockOwners(context, owner, [{ hostname }, { hostname }])).length === 1;
  };

  test("who may not ask about nodes knows of none that is gone, and goes on", async () => {
    const denied = new HoldfastError("CLUSTER_DENIED", "no");
    const api = { get: () => Promise.reject(denied) } as unknown as ClusterApi;
    const owner = { ...OWNER, status: { external: { "holdfast.dev/movers": "a@n1,b@n2!" } } };
    const context = { stores: moverStores([], []), api, signal };
    const hosts = [{ hostname: "a" }, { hostname: "b" }];
    assert.deepEqual(await deadLockOwners(context, owner, hosts), ["b"]);
  });

  test("only what the kubelet saw end, or whose node is gone, is dead", async () => {
    assert.ok(await dead({ pods: [podOf({ status: ended(1) })] }));
    assert.ok(await dead({ pods: [podOf({ status: ended(0) })] }));
    assert.ok(!(await dead({ pods: [podOf({ node: "n1", status: { phase: "Running" } })] })));
    assert.ok(await dead({ pods: [podOf({ node: "n2", status: { phase: "Running" } })] }));
    assert.ok(!(await dead({ pods: [podOf({ status: { phase: "Pending" } })] })));
    // The phase of a lost node's pod is set by somebody who cannot see it.
    const running = { name: "restic", state: { running: {} } };
    assert.ok(
      !(await dead({
        pods: [podOf({ node: "n1", status: { phase: "Failed", containerStatuses: [running] } })],
      })),
    );
    assert.ok(
      !(await dead({
        pods: [podOf({ node: "n1", status: { phase: "Failed", reason: "NodeLost" } })],
      })),
    );
  });

  test("a pod that is not there is dead only where it was seen to end", async () => {
    assert.ok(!(await dead({})));
    assert.ok(!(await dead({ movers: "p1@n1" })));
    assert.ok(await dead({ movers: "p0@n1,p1@n1!" }));
    assert.ok(await dead({ movers: "p1@n2" }));
    assert.ok(!(await dead({ movers: "p1@" })));
    assert.ok(!(await dead({ movers: "p1x@n1!" })));
  });

  test("a node that is called out of service is gone, but for one that is ready", async () => {
    const taint = { key: "node.kubernetes.io/out-of-service", effect: "NoExecute" };
    const lost = { key: "node.kubernetes.io/unreachable", effect: "NoExecute" };
    const owner = { ...OWNER, status: { external: { "holdfast.dev/movers": "p1@n1" } } };
    const context = { stores: moverStores([], []), signal };
    for (const [ready, taints, expected] of [
      ["Unknown", [lost, taint], ["p1"]],
      ["False", [taint], ["p1"]],
      ["Unknown", [lost], []],
      ["True", [taint], []],
    ] as const) {
      const node = { spec: { taints }, status: { conditions: [{ type: "Ready", status: ready }] } };
      const nodes = { get: () => Promise.resolve(node) } as unknown as ClusterApi;
      const found = await deadLockOwners({ ...context, api: nodes }, owner, [{ hostname: "p1" }]);
      assert.deepEqual(found, expected, `${ready} ${JSON.stringify(taints)}`);
    }
  });

  test("pods of others count where they open the same Secret", async () => {
    const other = { owner: "other", name: "volsync-dst-files", uid: "job2" };
    const pods = [podOf({ job: "job2", jobName: "volsync-dst-files", status: ended(1) })];
    assert.ok(await dead({ jobs: [jobOf(other)], pods }));
    assert.ok(!(await dead({ jobs: [jobOf({ ...other, secret: "another" })], pods })));
    // One that only bears the name of a mover.
    const impostor = podOf({ status: ended(1) });
    impostor.metadata.ownerReferences = [];
    assert.ok(!(await dead({ pods: [impostor] })));
  });

  test("pods are written down while they are there, and their end with them", () => {
    const pods = [
      podOf({ name: "a", node: "n1", status: ended(1) }),
      podOf({ name: "b", node: "n2", status: { phase: "Running" } }),
    ];
    const first = recordMovers({ stores: moverStores([jobOf()], pods) }, OWNER);
    assert.equal(first, "a@n1!,b@n2");
    const owner = { ...OWNER, status: { external: { "holdfast.dev/movers": first } } };
    assert.equal(recordMovers({ stores: moverStores([], []) }, owner), first);
    assert.equal(recordMovers({ stores: moverStores([], []) }, OWNER), undefined);
    const many = Array.from({ length: 40 }, (_, i) => podOf({ name: `m${i}`, node: "n" }));
    const record = recordMovers({ stores: moverStores([jobOf()], many) }, owner) ?? "";
    assert.equal(record.split(",").length, 24);
    assert.ok(record.endsWith("m39@n"));
  });
});

test("the log in a status: what tells of a success, or the end of a failure", () => {
  const log = [
    "== Starting backup =====",
    "noise",
    "processed 3 files, 2 B in 0:00",
    "snapshot 12345678 saved",
  ].join("\n");
  assert.equal(statusLogs(log, "Successful"), log.replace("noise\n", ""));
  const long = Array.from({ length: 100 }, (_, i) => `line ${i} ${"x".repeat(30)}`).join("\n");
  const failed = statusLogs(long, "Failed");
  assert.ok(Buffer.byteLength(failed) <= 1024);
  assert.ok(failed.endsWith(`line 99 ${"x".repeat(30)}`) && failed.startsWith("line "));
  assert.ok(Buffer.byteLength(statusLogs("ä".repeat(4000), "Failed")) <= 1024);
  assert.equal(statusLogs("", "Failed"), "");
});
