import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Job, PersistentVolumeClaim, PodSpec, Secret } from "../cluster/kube-object.ts";
import type { Role } from "../names.ts";
import type { RunPlan } from "../run-plan.ts";
import { buildMoverJob } from "./job.ts";
import type { MoverJobInput } from "./job.ts";
import type { MoverFields, MoverOwner } from "./owner.ts";
import { inspectSecret } from "./secret.ts";

/** The Secret of the backup guide, with one key of ours and some that no pod may get. */
const SECRET = secretOf("restic-config-filestore", {
  RESTIC_REPOSITORY: "rclone:gcs:acme-odoo-backups/filestore",
  RESTIC_PASSWORD: "open sesame",
  RCLONE_CONFIG_GCS_TYPE: "google cloud storage",
  RCLONE_CONFIG_GCS_SERVICE_ACCOUNT_CREDENTIALS: "{}",
  RCLONE_CONFIG_GCS_BUCKET_POLICY_ONLY: "true",
  HOLDFAST_GS_KMS_KEY: "projects/p/locations/l/keyRings/r/cryptoKeys/k",
  HOLDFAST_RCLONE_PROGRAM: "/bin/sh",
  RCLONE_PASSWORD_COMMAND: "/bin/sh",
  RCLONE_CONFIG_GCS_SSH: "/bin/sh",
  HOLDFAST_GS_ALLOW_CREDENTIALS: "executable",
  HOLDFAST_DEAD_OWNERS: "everybody",
  RESTIC_PASSWORD_COMMAND: "cat /etc/passwd",
  FORGET_OPTIONS: "--keep-last 0",
  PATH: "/evil",
  "not a name": "x",
});

function secretOf(name: string, data: Record<string, string>): Secret {
  const encoded = Object.entries(data).map(([key, value]) => [
    key,
    Buffer.from(value).toString("base64"),
  ]);
  const metadata = { name, namespace: "business-system" };
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata,
    data: Object.fromEntries(encoded) as Record<string, string>,
  };
}

function claim(name: string): PersistentVolumeClaim {
  const metadata = { name, namespace: "business-system", uid: `uid-${name}` };
  return { apiVersion: "v1", kind: "PersistentVolumeClaim", metadata, spec: {} };
}

function ownerOf(
  role: Role,
  fields: MoverFields,
  rest: Partial<MoverOwner["spec"]> = {},
): MoverOwner {
  return {
    apiVersion: "volsync.backube/v1alpha1",
    kind: role === "source" ? "ReplicationSource" : "ReplicationDestination",
    metadata: { name: "odoo-filestore", namespace: "business-system", uid: "u1" },
    spec: { ...rest, restic: { repository: SECRET.metadata.name, ...fields } },
  };
}

const PLAN: RunPlan = {
  id: "r1",
  role: "source",
  started: "2026-11-26T04:00:00Z",
  cause: { kind: "schedule", due: "2026-11-26T04:00:00Z" },
  generation: 1,
  secretHash: "",
  mode: "compat",
  forget: { daily: 7, weekly: 4, monthly: 3 },
};

function build(change: Partial<MoverJobInput> = {}): Job {
  const role = change.role ?? "source";
  return buildMoverJob({
    owner: ownerOf(role, {}, { sourcePVC: "odoo-filestore" }),
    role,
    plan: PLAN,
    secret: inspectSecret(SECRET),
    volume: {
      claim: claim("volsync-odoo-filestore-src"),
      readOnly: false,
      pointInTime: "2026-11-26T04:00:01Z",
    },
    cache: { claim: claim("volsync-src-odoo-filestore-cache") },
    affinity: {},
    identity: {},
    serviceAccount: "volsync-src-odoo-filestore",
    settings: { image: "example.org/holdfast:1", proxyVariables: { NO_PROXY: "10.0.0.0/8" } },
    privileged: false,
    deadOwners: [],
    ...change,
  });
}

function podOf(job: Job): PodSpec {
  return job.spec.template.spec;
}

function environmentOf(job: Job): Record<string, string> {
  const [container] = podOf(job).containers;
  const entries = (container?.env ?? []).map(({ name, value, valueFrom }) => [
    name,
    value ?? `${valueFrom?.secretKeyRef?.name}:${valueFrom?.secretKeyRef?.key}`,
  ]);
  return Object.fromEntries(entries) as Record<string, string>;
}

suite("the Job of a mover", () => {
  test("the guide's source", () => {
    const job = build();
    assert.equal(job.metadata.name, "volsync-src-odoo-filestore");
    assert.deepEqual(job.metadata.labels, {
      "app.kubernetes.io/created-by": "volsync",
      "holdfast.dev/run": "r1",
      "volsync.backube/cleanup": "u1",
    });
    assert.equal(job.metadata.ownerReferences?.[0]?.uid, "u1");
    assert.equal(job.spec.backoffLimit, 8);
    assert.equal(job.spec.parallelism, 1);
    assert.deepEqual(job.spec.template.metadata?.labels, {
      "app.kubernetes.io/created-by": "volsync",
      "holdfast.dev/run": "r1",
      "volsync.backube/source": "odoo-filestore",
    });
    const name = SECRET.metadata.name;
    assert.deepEqual(environmentOf(job), {
      DATA_DIR: "/data",
      FORGET_OPTIONS: "--keep-daily 7 --keep-weekly 4 --keep-monthly 3",
      HOLDFAST_CLAIM: "business-system/odoo-filestore",
      HOLDFAST_GS_KMS_KEY: `${name}:HOLDFAST_GS_KMS_KEY`,
      HOLDFAST_LOCK_WAIT: "2m",
      HOLDFAST_MODE: "compat",
      HOLDFAST_POINT_IN_TIME: "2026-11-26T04:00:01Z",
      HOLDFAST_RUN: "r1",
      NO_PROXY: "10.0.0.0/8",
      PRIVILEGED_MOVER: "0",
      RCLONE_CONFIG_GCS_BUCKET_POLICY_ONLY: `${name}:RCLONE_CONFIG_GCS_BUCKET_POLICY_ONLY`,
      RCLONE_CONFIG_GCS_SERVICE_ACCOUNT_CREDENTIALS: `${name}:RCLONE_CONFIG_GCS_SERVICE_ACCOUNT_CREDENTIALS`,
      RCLONE_CONFIG_GCS_TYPE: `${name}:RCLONE_CONFIG_GCS_TYPE`,
      RESTIC_CACHE_DIR: "/cache",
      RESTIC_PASSWORD: `${name}:RESTIC_PASSWORD`,
      RESTIC_REPOSITORY: `${name}:RESTIC_REPOSITORY`,
    });
    const names = (podOf(job).containers[0]?.env ?? []).map((each) => each.name);
    assert.deepEqual(names, names.toSorted());
    assert.deepEqual(podOf(job).containers[0]?.args, ["mover", "backup"]);
    assert.equal(podOf(job).automountServiceAccountToken, false);
    assert.ok(!JSON.stringify(job).includes("open sesame"));
    // Made again it is the same.
    assert.deepEqual(build(), job);
  });

  test("passes Pod Security's level restricted", () => {
    const { securityContext, containers } = podOf(build());
    assert.deepEqual(securityContext, {
      seccompProfile: { type: "RuntimeDefault" },
      runAsNonRoot: true,
    });
    assert.deepEqual(containers[0]?.securityContext, {
      allowPrivilegeEscalation: false,
      privileged: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
  });

  test("runs as whom the user says, or else as was found out", () => {
    const said = { runAsUser: 101, runAsGroup: 101, fsGroup: 101 };
    const known = { securityContext: { runAsUser: 7 } };
    const owner = ownerOf("source", { moverSecurityContext: said });
    assert.deepEqual(podOf(build({ owner, identity: known })).securityContext, {
      ...said,
      fsGroupChangePolicy: "OnRootMismatch",
      seccompProfile: { type: "RuntimeDefault" },
      runAsNonRoot: true,
    });
    assert.equal(podOf(build({ identity: known })).securityContext?.runAsUser, 7);
    const root = podOf(build({ identity: { securityContext: { runAsUser: 0 } } }));
    assert.equal(root.securityContext?.runAsNonRoot, undefined);
  });

  test("a privileged mover is root with three capabilities", () => {
    const job = build({ privileged: true, identity: { securityContext: { runAsNonRoot: true } } });
    const { securityContext, containers } = podOf(job);
    assert.equal(securityContext?.runAsNonRoot, undefined);
    assert.equal(containers[0]?.securityContext?.runAsUser, 0);
    assert.deepEqual(containers[0]?.securityContext?.capabilities, {
      drop: ["ALL"],
      add: ["DAC_OVERRIDE", "CHOWN", "FOWNER"],
    });
    assert.equal(environmentOf(job)["PRIVILEGED_MOVER"], "1");
  });

  test("what is mounted, and where", () => {
    const secret = secretOf("s", {
      RESTIC_REPOSITORY: "/mnt/repo/x",
      RESTIC_PASSWORD: "p",
      GOOGLE_APPLICATION_CREDENTIALS: "{}",
    });
    const owner = ownerOf("source", {
      customCA: { configMapName: "ca", key: "bundle.pem" },
      moverVolumes: [
        { mountPath: "repo", volumeSource: { persistentVolumeClaim: { claimName: "repository" } } },
        { mountPath: "/keys/a", volumeSource: { secret: { secretName: "keys" } } },
        { mountPath: "nas", volumeSource: { nfs: { server: "nas", path: "/x", readOnly: true } } },
      ],
    });
    const job = build({
      owner,
      secret: inspectSecret(secret),
      cache: { emptyDir: { sizeLimit: "1Gi" } },
    });
    const { volumes = [], containers } = podOf(job);
    const where = (containers[0]?.volumeMounts ?? []).map(
      ({ name, mountPath, readOnly }) => `${name} ${mountPath}${readOnly === true ? " ro" : ""}`,
    );
    assert.deepEqual(where, [
      "data /data ro",
      "cache /cache",
      "tempdir /tmp",
      "gcs-credentials /credentials ro",
      "custom-ca /customCA ro",
      "u-repo /mnt/repo",
      "u-keys-a /mnt/keys/a ro",
      "u-nas /mnt/nas ro",
    ]);
    assert.deepEqual(volumes[1], { name: "cache", emptyDir: { sizeLimit: "1Gi" } });
    assert.deepEqual(volumes[2], { name: "tempdir", emptyDir: { medium: "Memory" } });
    const environment = environmentOf(job);
    assert.equal(environment["GOOGLE_APPLICATION_CREDENTIALS"], "/credentials/gcs.json");
    assert.equal(environment["CUSTOM_CA"], "/customCA/ca.crt");
    for (const mountPath of ["../etc", "a/../../b", "", "/", "a:b"]) {
      const volumeSource = { secret: { secretName: "x" } };
      const bad = ownerOf("source", { moverVolumes: [{ mountPath, volumeSource }] });
      assert.throws(() => build({ owner: bad }), { code: "RESOURCE_INVALID" }, mountPath);
    }
  });

  test("a destination", () => {
    const plan: RunPlan = {
      ...PLAN,
      role: "destination",
      restore: { asOf: "2026-11-01T00:00:00Z", previous: 2, delete: true },
    };
    const owner = ownerOf("destination", { destinationPVC: "odoo-restored" });
    const volume = { claim: claim("odoo-restored"), readOnly: false };
    const job = build({ role: "destination", plan, owner, volume });
    assert.equal(job.metadata.name, "volsync-dst-odoo-filestore");
    assert.deepEqual(podOf(job).containers[0]?.args, ["mover", "restore"]);
    assert.equal(podOf(job).containers[0]?.volumeMounts?.[0]?.readOnly, undefined);
    const environment = environmentOf(job);
    assert.equal(environment["RESTORE_AS_OF"], "2026-11-01T00:00:00Z");
    assert.equal(environment["SELECT_PREVIOUS"], "2");
    assert.equal(environment["RESTORE_OPTIONS"], "--delete");
    assert.equal(environment["FORGET_OPTIONS"], undefined);
    assert.equal(environment["HOLDFAST_CLAIM_UID"], "uid-odoo-restored");
    assert.equal(
      job.spec.template.metadata?.labels?.["volsync.backube/destination"],
      "odoo-filestore",
    );
  });

  test("what a run asks for besides, and a pause", () => {
    const plan = {
      ...PLAN,
      forget: {},
      prune: true,
      unlock: "now",
      acceptShrink: "yes",
      excludeCaches: true,
    };
    const labels = { "volsync.backube/source": "mine", "app.kubernetes.io/created-by": "me" };
    const owner = ownerOf(
      "source",
      { moverPodLabels: { ...labels, "holdfast.dev/run": "another" } },
      { paused: true },
    );
    owner.metadata.annotations = { "volsync.backube/enable-debug-mover": "" };
    const job = build({
      plan,
      owner,
      deadOwners: ["a", "b"],
      affinity: { nodeSelector: { host: "n1" }, tolerations: [] },
    });
    assert.deepEqual(podOf(job).containers[0]?.args, ["mover", "backup", "--unlock", "--prune"]);
    const environment = environmentOf(job);
    assert.equal(environment["FORGET_OPTIONS"], "--keep-last 1");
    assert.equal(environment["HOLDFAST_DEAD_OWNERS"], "a,b");
    assert.equal(environment["HOLDFAST_ACCEPT_SHRINK"], "yes");
    assert.equal(environment["HOLDFAST_EXCLUDE_CACHES"], "1");
    assert.equal(environment["DEBUG_MOVER"], "1");
    assert.equal(job.spec.parallelism, 0);
    assert.deepEqual(podOf(job).nodeSelector, { host: "n1" });
    // The user's labels win, as with VolSync, but for those by which a mover is known.
    assert.deepEqual(job.spec.template.metadata?.labels, {
      ...labels,
      "app.kubernetes.io/created-by": "volsync",
      "holdfast.dev/run": plan.id,
    });
  });

  test("a name that is too long for a label", () => {
    const owner = ownerOf("source", {});
    owner.metadata.name = "n".repeat(100);
    const job = build({ owner });
    const label = job.spec.template.metadata?.labels?.["volsync.backube/source"] ?? "";
    assert.ok(job.metadata.name.length <= 63);
    assert.equal(label, job.metadata.name);
  });
});
