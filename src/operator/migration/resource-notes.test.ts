// What is said of each resource before a takeover. No note repeats anything of a Secret.

import assert from "node:assert/strict";
import { test } from "node:test";
import { manifestCorpus } from "../../../test/kubernetes/manifest-corpus.ts";
import type { Job, Pod, Secret } from "../cluster/kube-object.ts";
import { readReplicationDestination } from "../resources/replication-destination.ts";
import { readReplicationSource } from "../resources/replication-source.ts";
import { outlookOf, type ResourceFacts, type ResourceOutlook } from "./resource-notes.ts";

const NOW = Date.parse("2026-11-26T12:00:00Z");
const PASSWORD = "correct horse battery staple";

function secretOf(data: Record<string, string>): Secret {
  const coded = Object.entries(data).map(([key, value]) => [
    key,
    Buffer.from(value).toString("base64"),
  ]);
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "restic-config" },
    data: Object.fromEntries(coded) as Record<string, string>,
  };
}
const served = secretOf({
  RESTIC_REPOSITORY: "rclone:gcs:bucket/filestore",
  RESTIC_PASSWORD: PASSWORD,
  RCLONE_CONFIG_GCS_TYPE: "google cloud storage",
});

function source(spec: object, more: object = {}): ReturnType<typeof readReplicationSource> {
  return readReplicationSource({
    apiVersion: "volsync.backube/v1alpha1",
    kind: "ReplicationSource",
    metadata: { name: "odoo-filestore", namespace: "business-system", ...more },
    spec,
    status: { lastSyncTime: "2026-11-26T04:01:00Z", latestMoverStatus: { result: "Successful" } },
  });
}
const restic = {
  repository: "restic-config",
  copyMethod: "Snapshot",
  retain: { daily: 7 },
  moverSecurityContext: { runAsUser: 1000 },
};
const plain = { sourcePVC: "data", trigger: { schedule: "0 4 * * *" }, restic };

function outlook(facts: Partial<ResourceFacts>): ResourceOutlook {
  return outlookOf({
    role: "source",
    resource: source(plain),
    secret: served,
    job: undefined,
    absent: [],
    sharedWith: [],
    mountedBy: [],
    isPrivileged: false,
    now: NOW,
    ...facts,
  });
}
const texts = ({ notes }: ResourceOutlook): string => notes.map(({ text }) => text).join("\n");

test("a resource that works stays, and its storage is named by its kind alone", () => {
  const found = outlook({});
  assert.equal(found.verdict, "stays");
  assert.match(texts(found), /^repository on rclone \(google cloud storage\): served/);
  assert.doesNotMatch(JSON.stringify(found), /bucket|horse/);
});

test("a storage that is not served is told before anything else is", () => {
  const RESTIC_REPOSITORY = "azure:container:/x";
  const found = outlook({ secret: secretOf({ RESTIC_REPOSITORY, RESTIC_PASSWORD: PASSWORD }) });
  assert.equal(found.verdict, "unsupported");
  assert.match(texts(found), /azure/);
  assert.doesNotMatch(JSON.stringify(found), /container|horse/);
});

test("a Secret that is missing or incomplete fails; one that we may not read is said to be unknown", () => {
  assert.equal(outlook({ secret: undefined }).verdict, "fails");
  assert.equal(outlook({ secret: secretOf({ RESTIC_PASSWORD: PASSWORD }) }).verdict, "fails");
  const unread = outlook({ secret: "unread" });
  assert.equal(unread.verdict, "changes");
  assert.match(texts(unread), /nobody knows/);
});

test("what is written on the resource by hope is answered", () => {
  const annotations = { "volsync.backube/trigger": "1", "volsync.backube/trigger-backup": "1" };
  const found = outlook({ resource: source(plain, { annotations }) });
  assert.match(texts(found), /trigger did nothing until now/);
  assert.match(texts(found), /trigger-backup starts nothing/);
});

test("a schedule that nobody can keep fails, one that is overdue starts at once", () => {
  const junk = source({ ...plain, trigger: { schedule: "0 4 * * 7" } });
  assert.equal(outlook({ resource: junk }).verdict, "fails");
  const late = outlook({ now: NOW + 86_400_000 });
  assert.match(texts(late), /overdue/);
  assert.equal(late.verdict, "changes");
});

test("a running Job, a failed run and a missing identity are told", () => {
  const job = {
    metadata: { name: "volsync-src-odoo-filestore" },
    status: { active: 1 },
  } as unknown as Job;
  assert.match(texts(outlook({ job })), /volsync-src-odoo-filestore is running/);
  const { moverSecurityContext: _, ...bare } = restic;
  const found = outlook({ resource: source({ ...plain, restic: bare }) });
  assert.match(texts(found), /as the user of the pod that mounts it/);
  const nothing = outlook({ resource: source({ ...plain, restic: bare }), isPrivileged: true });
  assert.doesNotMatch(texts(nothing), /as the user/);
});

test("what is not there fails; a repository that volumes share is told", () => {
  const found = outlook({ absent: ["PersistentVolumeClaim data"] });
  assert.equal(found.verdict, "fails");
  assert.match(texts(found), /there is no PersistentVolumeClaim data/);
  const shared = outlook({ sharedWith: ["business-system/media"] });
  assert.equal(shared.verdict, "changes");
  assert.match(texts(shared), /shares its repository with business-system\/media/);
});

test("a restore into a volume in use is told with the pod's name", () => {
  const resource = readReplicationDestination({
    apiVersion: "volsync.backube/v1alpha1",
    kind: "ReplicationDestination",
    metadata: { name: "r" },
    spec: { restic: { repository: "restic-config", destinationPVC: "data", copyMethod: "Direct" } },
    status: { lastSyncTime: "2026-11-26T04:01:00Z" },
  });
  const pod = { metadata: { name: "odoo-0" } } as Pod;
  assert.match(texts(outlook({ role: "destination", resource, mountedBy: [pod] })), /pod odoo-0/);
});

test("every manifest of the corpus gets the verdict of what is expected of it", () => {
  for (const { title, expect, object } of manifestCorpus()) {
    if (expect === "refused") continue;
    const isSource = object.kind === "ReplicationSource";
    const resource = isSource ? readReplicationSource(object) : readReplicationDestination(object);
    const { verdict } = outlook({ role: isSource ? "source" : "destination", resource });
    if (expect === "ignored") assert.equal(verdict, "left-alone", title);
    else if (expect === "error") assert.match(verdict, /fails|unsupported/, title);
    else assert.match(verdict, /stays|changes/, title);
  }
});
