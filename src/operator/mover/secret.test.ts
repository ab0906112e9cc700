// What is said of a repository's Secret before a mover is made: what is missing, what cannot be served, what was never decrypted.
// No message repeats a value.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Secret } from "../cluster/kube-object.ts";
import { inspectSecret } from "./secret.ts";

function secretOf(name: string, data: Record<string, string>): Secret {
  const encoded = Object.entries(data).map(([key, value]) => [
    key,
    Buffer.from(value).toString("base64"),
  ]);
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace: "business-system" },
    data: Object.fromEntries(encoded) as Record<string, string>,
  };
}

suite("the Secret of a repository", () => {
  const of = (data: Record<string, string>): unknown =>
    inspectSecret(secretOf("s", { RESTIC_REPOSITORY: "/mnt/repo", RESTIC_PASSWORD: "p", ...data }));

  test("what is missing is named", () => {
    assert.throws(() => of({ RESTIC_PASSWORD: "" }), {
      code: "SECRET_INVALID",
      message: /RESTIC_PASSWORD is missing/,
    });
    assert.throws(() => inspectSecret(secretOf("s", {})), {
      message: /RESTIC_REPOSITORY and RESTIC_PASSWORD are missing/,
    });
  });

  test("what SOPS encrypted and nobody decrypted is told as that", () => {
    const sealed = "ENC[AES256_GCM,data:2f0=,iv:x=,tag:y=,type:str]";
    assert.throws(() => of({ RESTIC_PASSWORD: sealed }), {
      code: "SECRET_INVALID",
      message: /without being decrypted: .* in RESTIC_PASSWORD$/,
      hint: /spec\.decryption/,
    });
  });

  test("a path that ends with the pod is no repository", () => {
    const at = (location: string, mounts: string[]): unknown =>
      inspectSecret(secretOf("s", { RESTIC_REPOSITORY: location, RESTIC_PASSWORD: "p" }), {
        mounts,
      });
    for (const location of ["/tmp/x", "/cache", "/mnt", "/mnt/repository", "local:/mnt/repo/.."]) {
      assert.throws(() => at(location, ["/mnt/repo"]), {
        code: "SECRET_INVALID",
        message: /ends with the mover's pod: moverVolumes mounts \/mnt\/repo/,
      });
    }
    assert.throws(() => at("s3//bucket/x", []), { message: /a colon is missing behind "s3"/ });
    for (const location of ["/mnt/repo", "/mnt/repo/in/it", "local:/mnt/repo/"]) {
      assert.doesNotThrow(() => at(location, ["/mnt/repo"]));
    }
  });

  test("a remote of rclone's that nothing configures is named, with those that are", () => {
    const typed = { RCLONE_CONFIG_GCS_TYPE: "google cloud storage" };
    const repository = { RESTIC_REPOSITORY: "rclone:gsc:bucket/x" };
    assert.throws(
      () => of({ ...typed, ...repository }),
      ({ code, message, hint }: Record<string, string>) => {
        assert.equal(code, "SECRET_INVALID");
        assert.match(message!, /remote "gsc" is not configured: RCLONE_CONFIG_GSC_TYPE is missing/);
        assert.match(hint!, /\(gcs\)/);
        return true;
      },
    );
    assert.doesNotThrow(() => of({ ...repository, RCLONE_CONFIG: "/mnt/rclone/rclone.conf" }));
  });

  test("a storage that cannot be served is named, and nothing else of the location", () => {
    for (const [location, scheme] of [
      ["b2:bucket:secret", "b2:"],
      ["azure:container:/", "azure:"],
      ["swift:container:/x", "swift:"],
      ["sftp:user@host:/x", "sftp:"],
      ["opendal:secret", "opendal:"],
    ] as const) {
      assert.throws(
        () => of({ RESTIC_REPOSITORY: location }),
        ({ code, message, hint }: Record<string, string>) => {
          assert.equal(code, "BACKEND_UNSUPPORTED");
          assert.ok(message?.includes(scheme), message);
          assert.doesNotMatch(`${message}${hint}`, /secret|user@/);
          return true;
        },
      );
    }
    const drive = { RESTIC_REPOSITORY: "rclone:x:p", RCLONE_CONFIG_X_TYPE: "drive" };
    assert.throws(() => of(drive), { code: "BACKEND_UNSUPPORTED", message: /"drive"/ });
    for (const location of [
      "gs:bucket:/x",
      "s3:host/bucket",
      "rest:https://host/x",
      "rclone::s3,provider=AWS:p",
      "/mnt/x",
    ]) {
      assert.ok(of({ RESTIC_REPOSITORY: location }), location);
    }
  });

  test("its hash tells versions apart, and nothing of the values", () => {
    const hash = (password: string, version: { uid: string; resourceVersion: string }): string => {
      const data = { RESTIC_REPOSITORY: "/mnt/repo", RESTIC_PASSWORD: password };
      const secret = secretOf("s", data);
      return inspectSecret({ ...secret, metadata: { ...secret.metadata, ...version } }).hash;
    };
    const first = { uid: "1", resourceVersion: "7" };
    assert.equal(hash("a", first), hash("b", first));
    assert.notEqual(hash("a", first), hash("a", { ...first, resourceVersion: "8" }));
    assert.notEqual(hash("a", first), hash("a", { ...first, uid: "2" }));
  });
});
