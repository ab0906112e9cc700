import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { RunPlan } from "../run-plan.ts";
import { moverEnvironment, passedKeys } from "./environment.ts";
import { inspectSecret } from "./secret.ts";

suite("what a Secret cannot do to a mover", () => {
  test("no key of it runs a program, opens a port, or takes the operator's place", () => {
    const refused = `PATH HOME NODE_OPTIONS LD_PRELOAD SSL_CERT_FILE BASH_ENV TZ HTTPS_PROXY
      AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE AWS_CONTAINER_CREDENTIALS_FULL_URI
      RESTIC_PASSWORD_COMMAND RESTIC_PASSWORD_FILE RESTIC_CACERT FORGET_OPTIONS
      HOLDFAST_DEAD_OWNERS HOLDFAST_MODE HOLDFAST_CLAIM HOLDFAST_TERMINATION_LOG HOLDFAST_RUN
      HOLDFAST_ACCEPT_SHRINK HOLDFAST_LOCK_WAIT
      HOLDFAST_RCLONE_PROGRAM HOLDFAST_RCLONE_ARGS HOLDFAST_GS_ALLOW_CREDENTIALS
      RCLONE_PASSWORD_COMMAND RCLONE_METADATA_MAPPER RCLONE_SFTP_SSH RCLONE_CONFIG_X_SSH
      RCLONE_CONFIG_X_SHARED_CREDENTIALS_FILE RCLONE_S3_SHARED_CREDENTIALS_FILE
      RCLONE_CONFIG_X_BEARER_TOKEN_COMMAND RCLONE_WEBDAV_BEARER_TOKEN_COMMAND
      RCLONE_RC RCLONE_RC_ADDR RCLONE_RC_NO_AUTH rclone_config_x_ssh Rclone_Rc A=B`.split(/\s+/);
    refused.push("", "A\nB");
    assert.deepEqual(passedKeys(refused), []);
    const kept = ["RCLONE_CONFIG_RC_TYPE", "RCLONE_CONFIG_X_PASS", "RCLONE_CONFIG_X_REMOTE"];
    assert.deepEqual(passedKeys(kept), kept);
  });

  test("nor does a remote that says in its own text what program to run", () => {
    const of = (data: Record<string, string>): void => {
      const all = { RESTIC_PASSWORD: "p", RCLONE_CONFIG_A_TYPE: "alias", ...data };
      const encoded = Object.entries(all).map(([key, value]) => [
        key,
        Buffer.from(value).toString("base64"),
      ]);
      inspectSecret(
        {
          apiVersion: "v1",
          kind: "Secret",
          metadata: { name: "s" },
          data: Object.fromEntries(encoded) as Record<string, string>,
        },
        { rclone: true },
      );
    };
    const hostile = [
      { RESTIC_REPOSITORY: "rclone::sftp,ssh=/bin/sh:x" },
      { RESTIC_REPOSITORY: 'rclone::sftp,host=h,SSH="sh -c x":x' },
      { RESTIC_REPOSITORY: "rclone::webdav,bearer_token_command=id:x" },
      { RESTIC_REPOSITORY: "rclone:a:x", RCLONE_CONFIG_A_REMOTE: ":sftp,ssh=id:x" },
      { RESTIC_REPOSITORY: "rclone:a:x", RCLONE_CONFIG_A_UPSTREAMS: "'b=:sftp,ssh=id:x' c" },
      { RESTIC_REPOSITORY: "rclone:a:x", RCLONE_COMBINE_UPSTREAMS: "b=:sftp,ssh=id:x" },
    ];
    for (const data of hostile) {
      assert.throws(() => of(data), { code: "SECRET_INVALID" }, JSON.stringify(data));
    }
    of({ RESTIC_REPOSITORY: "rclone:a:bucket/ssh=x", RCLONE_CONFIG_A_REMOTE: "b:ssh" });
  });

  test("no remote is a path that ends with the mover's pod", () => {
    const of = (location: string, more: Record<string, string> = {}): unknown => {
      const data = {
        RESTIC_REPOSITORY: `rclone:${location}`,
        RESTIC_PASSWORD: "p",
        RCLONE_CONFIG_L_TYPE: "local",
        RCLONE_CONFIG_A_TYPE: "alias",
        ...more,
      };
      const encoded = Object.entries(data).map(([key, value]) => [
        key,
        Buffer.from(value).toString("base64"),
      ]);
      const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "s" } };
      return inspectSecret(
        { ...secret, data: Object.fromEntries(encoded) as Record<string, string> },
        { mounts: ["/mnt/repo"] },
      );
    };
    const alias = (remote: string): Record<string, string> => ({ RCLONE_CONFIG_A_REMOTE: remote });
    for (const path of ["/tmp/x", "l:/tmp/x", ":local:/cache/x", "l,nounc=true:x", "tmp/x"]) {
      assert.throws(() => of(path), { code: "SECRET_INVALID", message: /ends with/ }, path);
    }
    assert.throws(() => of("a:x", alias("/tmp")), { message: /ends with/ });
    assert.throws(() => of("a:x", alias("l:/tmp")), { message: /ends with/ });
    for (const path of ["/mnt/repo/x", "l:/mnt/repo", ":local:/mnt/repo/a", ":s3,provider=AWS:b"]) {
      assert.doesNotThrow(() => of(path), path);
    }
    assert.doesNotThrow(() => of("a:x", alias("l:/mnt/repo")));
    assert.doesNotThrow(() => of("a:x", alias(":s3:bucket")));
    assert.doesNotThrow(() => of("a:x", alias("a:y")));
  });

  test("no field of a resource quotes a value of the Secret: the kubelet expands $(NAME)", () => {
    const text = "$(AWS_SECRET_ACCESS_KEY) $$(X) $";
    const plan: RunPlan = {
      id: "r1",
      role: "source",
      started: "2026-11-26T04:00:00Z",
      cause: { kind: "initial" },
      generation: 1,
      secretHash: "",
      mode: "compat",
      forget: { within: text },
      acceptShrink: text,
    };
    const secret = { name: "s", hash: "", scheme: "gs", keys: ["AWS_SECRET_ACCESS_KEY"] } as const;
    const variables = moverEnvironment({
      plan,
      secret,
      settings: { proxyVariables: { HTTPS_PROXY: "http://$(AWS_SECRET_ACCESS_KEY)@proxy" } },
      claim: "a/b",
      claimUid: undefined,
      pointInTime: undefined,
      privileged: false,
      debug: false,
      hasCustomCa: false,
      deadOwners: [],
      hasCache: false,
    });
    const values = variables.flatMap(({ value }) => (value === undefined ? [] : [value]));
    const quoted = values.filter((value) => value.replaceAll("$$", "").includes("$"));
    assert.deepEqual(quoted, []);
    const forget = variables.find(({ name }) => name === "FORGET_OPTIONS");
    assert.equal(forget?.value?.replaceAll("$$", "$"), `--keep-within ${text}`);
  });
});
