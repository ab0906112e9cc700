// Where a mover runs and as whom, and which restores a source waits for.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  DEPLOYMENT,
  NAMESPACE,
  NODE,
  STATEFUL_SET,
  type Kind,
} from "../../src/operator/cluster/kinds.ts";
import type { PodSpec, Workload } from "../../src/operator/cluster/kube-object.ts";
import { ANNOTATION } from "../../src/operator/names.ts";
import { chooseAffinity } from "../../src/operator/volumes/affinity.ts";
import { inferIdentity } from "../../src/operator/volumes/identity.ts";
import { restoresOf } from "../../src/operator/volumes/restores.ts";
import { SPACE, volumesWorld, type VolumesWorld } from "./volumes-world.ts";

suite("affinity", () => {
  const tolerations = [{ key: "gpu", operator: "Exists" }];
  const at = (world: VolumesWorld, ...claims: string[]): ReturnType<typeof chooseAffinity> =>
    chooseAffinity(world.context, { namespace: SPACE, claims });

  test("next to the pod that holds a volume of one node, by the node's label", async (t) => {
    const world = await volumesWorld(t);
    world.claim("data");
    assert.deepEqual(await at(world, "data"), {});
    world.pod("app", "data", { spec: { ...podSpec("data"), nodeName: "node-1", tolerations } });
    assert.deepEqual(await at(world, "data"), {
      nodeSelector: { "kubernetes.io/hostname": "node-1" },
      tolerations,
    });
    world.double.objects.put(NODE, {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: "node-1", labels: { "kubernetes.io/hostname": "rack-3" } },
    });
    const { nodeSelector } = await at(world, "data");
    assert.deepEqual(nodeSelector, { "kubernetes.io/hostname": "rack-3" });
  });

  test("none for what may be on several nodes, nor for pods that are at their end or nowhere yet", async (t) => {
    const world = await volumesWorld(t);
    world.claim("data", { accessModes: ["ReadWriteMany"] });
    world.pod("one", "data");
    world.pod("two", "data", { spec: { ...podSpec("data"), nodeName: "node-2" } });
    assert.deepEqual(await at(world, "data"), {});
    world.claim("alone", { accessModes: ["ReadWriteOncePod"] });
    world.pod("done", "alone", { status: { phase: "Succeeded" } });
    world.pod("pending", "alone", { spec: podSpec("alone"), status: { phase: "Pending" } });
    assert.deepEqual(await at(world, "alone"), {});
  });

  test("a running pod before one that waits for the volume; the first claim before the others", async (t) => {
    const world = await volumesWorld(t);
    world.claim("data");
    world.claim("repository");
    world.pod("a-waits", "data", {
      spec: { ...podSpec("data"), nodeName: "node-9" },
      status: { phase: "Pending" },
    });
    world.pod("b-runs", "data");
    world.pod("c", "repository", { spec: { ...podSpec("repository"), nodeName: "node-5" } });
    const { nodeSelector } = await at(world, "data", "repository");
    assert.deepEqual(nodeSelector, { "kubernetes.io/hostname": "node-1" });
    const other = await at(world, "none", "repository");
    assert.deepEqual(other.nodeSelector, { "kubernetes.io/hostname": "node-5" });
  });
});

function podSpec(claim: string, security: Partial<PodSpec> = {}): PodSpec {
  return {
    volumes: [{ name: "files", persistentVolumeClaim: { claimName: claim } }],
    containers: [{ name: "app", volumeMounts: [{ name: "files", mountPath: "/var/lib" }] }],
    ...security,
  };
}

function workload(
  world: VolumesWorld,
  kind: Kind<Workload>,
  name: string,
  spec: Workload["spec"],
): void {
  world.double.objects.put(kind, {
    apiVersion: kind.apiVersion,
    kind: kind.kind,
    metadata: { name, namespace: SPACE },
    spec,
  });
}

suite("identity", () => {
  const RESTRICTED = { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } };

  test("what the resource says counts, before all others", async (t) => {
    const world = await volumesWorld(t);
    world.claim("data");
    world.pod("app", "data", { spec: podSpec("data", { securityContext: { runAsUser: 1000 } }) });
    const given = { runAsUser: 7 };
    const owner = world.source({ moverSecurityContext: given });
    const identity = await inferIdentity(world.context, { owner, claim: "data" });
    assert.deepEqual(identity, {
      kind: "given",
      securityContext: given,
      from: "moverSecurityContext",
    });
  });

  test("the pod that mounts it: its container's user before the pod's, its groups, no mass change of owners", async (t) => {
    const world = await volumesWorld(t);
    world.claim("data");
    world.pod("app", "data", {
      spec: {
        ...podSpec("data", {
          securityContext: { runAsUser: 1, runAsGroup: 2, fsGroup: 3, supplementalGroups: [4] },
        }),
        containers: [
          { name: "sidecar", securityContext: { runAsUser: 99 } },
          {
            name: "app",
            volumeMounts: [{ name: "files", mountPath: "/x" }],
            securityContext: { runAsUser: 101 },
          },
        ],
      },
    });
    const owner = world.source({});
    const identity = await inferIdentity(world.context, { owner, claim: "data" });
    assert.deepEqual(identity, {
      securityContext: {
        ...RESTRICTED,
        runAsUser: 101,
        runAsGroup: 2,
        fsGroup: 3,
        fsGroupChangePolicy: "OnRootMismatch",
        supplementalGroups: [4],
      },
      kind: "application",
      from: "pod app",
    });
  });

  test("what the kubelet reports of an image's own user", async (t) => {
    const world = await volumesWorld(t);
    world.claim("data");
    const user = { linux: { uid: 101, gid: 101 } };
    world.pod("app", "data", {
      status: { phase: "Running", containerStatuses: [{ name: "app", user } as never] },
    });
    const owner = world.source({});
    const { securityContext } = await inferIdentity(world.context, { owner, claim: "data" });
    assert.deepEqual(securityContext, { ...RESTRICTED, runAsUser: 101, runAsGroup: 101 });
  });

  test("a Deployment scaled to zero; a StatefulSet's claim template", async (t) => {
    const world = await volumesWorld(t);
    world.claim("data");
    const securityContext = { runAsUser: 101, fsGroup: 101 };
    workload(world, DEPLOYMENT, "odoo", {
      replicas: 0,
      template: { spec: podSpec("data", { securityContext }) },
    });
    workload(world, STATEFUL_SET, "db", {
      template: {
        spec: {
          containers: [{ name: "db", volumeMounts: [{ name: "pgdata", mountPath: "/d" }] }],
          securityContext: { runAsUser: 999 },
        },
      },
      volumeClaimTemplates: [{ metadata: { name: "pgdata" } }],
    });
    const owner = world.source({});
    const odoo = await inferIdentity(world.context, { owner, claim: "data" });
    assert.deepEqual([odoo.from, odoo.securityContext?.runAsUser], ["Deployment odoo", 101]);
    const db = await inferIdentity(world.context, { owner, claim: "pgdata-db-0" });
    assert.deepEqual([db.from, db.securityContext?.runAsUser], ["StatefulSet db", 999]);
    const other = await inferIdentity(world.context, { owner, claim: "pgdata-db-x" });
    assert.equal(other.securityContext, undefined);
  });

  test("a destination that others are populated from: those who will read it", async (t) => {
    const world = await volumesWorld(t);
    const owner = world.destination({ copyMethod: "Snapshot" });
    world.claim("app", {
      dataSourceRef: {
        apiGroup: "volsync.backube",
        kind: "ReplicationDestination",
        name: "restore",
      },
    });
    const securityContext = { runAsUser: 101, fsGroup: 101 };
    workload(world, DEPLOYMENT, "odoo", {
      template: { spec: podSpec("app", { securityContext }) },
    });
    const claim = "volsync-restore-dest";
    const identity = await inferIdentity(world.context, { owner, claim });
    assert.deepEqual(
      [identity.from, identity.securityContext?.runAsUser],
      ["Deployment odoo", 101],
    );
  });

  test("root is taken over where Pod Security lets it, without capabilities; elsewhere it is told how to allow it", async (t) => {
    const world = await volumesWorld(t);
    const enforce = (level: string): void => {
      const labels = { "pod-security.kubernetes.io/enforce": level };
      world.double.addNamespace(SPACE, { labels });
    };
    enforce("restricted");
    world.claim("data");
    world.pod("app", "data", { spec: podSpec("data", { securityContext: { runAsUser: 0 } }) });
    const owner = world.source({});
    const identity = await inferIdentity(world.context, { owner, claim: "data" });
    assert.deepEqual(identity.securityContext, RESTRICTED);
    assert.equal(identity.problem?.reason, "ApplicationRunsAsRoot");
    assert.equal(identity.kind, "unprivileged");
    assert.match(identity.problem?.message ?? "", /kubectl label namespace odoo .*=baseline/);
    enforce("baseline");
    const root = await inferIdentity(world.context, { owner, claim: "data" });
    assert.deepEqual(
      [root.kind, root.problem, root.notice?.reason],
      ["root", undefined, "MoverRunsAsRoot"],
    );
    const { runAsUser, runAsNonRoot } = root.securityContext ?? {};
    assert.deepEqual([runAsUser, runAsNonRoot], [0, undefined]);
    world.double.addNamespace(SPACE, { annotations: { [ANNOTATION.privilegedMovers]: "true" } });
    assert.ok(world.double.objects.get(NAMESPACE, undefined, SPACE));
    const privileged = await inferIdentity(world.context, { owner, claim: "data" });
    assert.deepEqual([privileged.securityContext, privileged.problem], [undefined, undefined]);
  });

  test("who may not look at workloads goes on with the image's user", async (t) => {
    const world = await volumesWorld(t);
    world.claim("data");
    for (const plural of ["deployments", "statefulsets", "replicasets"]) {
      world.double.fault({ plural }, { status: 403 });
    }
    const owner = world.source({});
    const identity = await inferIdentity(world.context, { owner, claim: "data" });
    assert.equal(identity.securityContext, undefined);
    assert.match(identity.from, /^the image/);
  });
});

suite("unfinished restores", () => {
  const cases: [string, Parameters<VolumesWorld["destination"]>, number][] = [
    ["a manual one that was not answered", [{ destinationPVC: "data" }], 1],
    ["one that was", [{ destinationPVC: "data" }, { status: { lastManualSync: "once" } }], 0],
    ["one of another claim", [{ destinationPVC: "other" }], 0],
    ["one held before it began", [{ destinationPVC: "data" }, { spec: paused() }], 0],
    [
      "one held half way",
      [
        { destinationPVC: "data" },
        { spec: paused(), status: { lastSyncStartTime: "2026-01-02T03:04:05Z" } },
      ],
      1,
    ],
    [
      "a scheduled one between its runs",
      [
        { destinationPVC: "data" },
        {
          spec: { trigger: { schedule: "0 4 * * *" }, restic: { destinationPVC: "data" } },
          status: { lastSyncTime: "2026-01-02T03:04:05Z" },
        },
      ],
      0,
    ],
  ];
  function paused(): { paused: true; trigger: object; restic: object } {
    return { paused: true, trigger: { manual: "once" }, restic: { destinationPVC: "data" } };
  }
  for (const [name, destination, expected] of cases) {
    test(name, async (t) => {
      const world = await volumesWorld(t);
      const claim = world.claim("data");
      world.destination(...destination);
      assert.equal((await restoresOf(world.context, claim)).length, expected);
    });
  }

  test("a claim that is being populated, until it has its volume", async (t) => {
    const world = await volumesWorld(t);
    const dataSourceRef = {
      apiGroup: "volsync.backube",
      kind: "ReplicationDestination",
      name: "restore",
    };
    const [found] = await restoresOf(world.context, world.claim("data", { dataSourceRef }));
    assert.equal(found?.kind, "PersistentVolumeClaim");
    const bound = world.claim("data", { dataSourceRef, volumeName: "pv" });
    assert.deepEqual(await restoresOf(world.context, bound), []);
  });
});
