// The guide's set-up of the secret, and its look at the repository, line by line: openssl, Terraform's output, sops with an
// editor, restic through rclone. What the guide believes and real programs do otherwise is shown as well.

import assert from "node:assert/strict";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { parse } from "yaml";
import { assertSameTree } from "../faults/workbench.ts";
import { plantTree } from "../faults/source-tree.ts";
import { skipWithout } from "../peers.ts";
import { BUCKET, DESK_PEERS, KMS_KEY, openDesk, SECRET_FILE, type Desk } from "./desk.ts";
import { blockOf, commandOf, commandsOf, readGuide } from "./read-guide.ts";

const guide = readGuide();
const skip = skipWithout(...DESK_PEERS);
let desk: Desk;
let source: string;

interface Manifest {
  readonly stringData: Readonly<Record<string, string>>;
}

suite("the guide's secret and repository", { skip }, () => {
  before(async () => {
    desk = await openDesk();
    source = join(desk.folder, "source");
    plantTree(source, { many: 20 });
  });
  after(() => desk.close());

  test("sops opens no plain file, whatever the guide believes; holdfast secrets edit does", async () => {
    const edit = commandOf(guide, "Edit and encrypt the secret", "sops kubernetes/");
    const refused = await desk.run(edit, { status: null });
    assert.notEqual(refused.status, 0);
    assert.match(refused.stderr, /metadata not found/);
    assert.match(desk.read(SECRET_FILE), /RESTIC_PASSWORD: REPLACE-WITH/, "nothing was changed");
    const plain = desk.read(SECRET_FILE);
    const looked = await desk.run("holdfast secrets check", { status: null });
    assert.notEqual(looked.status, 0);
    assert.match(looked.stdout + looked.stderr, /secret-filestore-restic\.enc\.yaml/);
    // What was plain is encrypted on saving, as the guide says of sops.
    await desk.run(edit.replace("sops", "holdfast secrets edit"), {
      env: { EDITOR: "sed -i s/Opaque/Opaque/;s/GENERATED/Generated/" },
    });
    assert.match(desk.read(SECRET_FILE), /RESTIC_PASSWORD: ENC\[AES256_GCM,/);
    desk.write(SECRET_FILE, plain);
  });

  test("the set-up, with the file encrypted once before it", async () => {
    await desk.run(`sops --encrypt --in-place ${SECRET_FILE}`);
    const { text } = blockOf(guide, "Edit and encrypt the secret");
    const { stdout } = await desk.run(`{\n${text}\n} | tee /tmp/screen`);
    const password = /^RESTIC_PASSWORD: (.+)$/m.exec(stdout)![1]!;
    assert.equal(Buffer.from(password, "base64").length, 32);
    assert.match(stdout, /"client_email": "odoo-pg-backup@/);

    const opened = await desk.run(`sops -d ${SECRET_FILE}`);
    const { stringData } = parse(opened.stdout) as Manifest;
    assert.equal(stringData["RESTIC_PASSWORD"], password);
    assert.equal(stringData["RESTIC_REPOSITORY"], `rclone:gcs:${BUCKET}/filestore`);
    const json = stringData["RCLONE_CONFIG_GCS_SERVICE_ACCOUNT_CREDENTIALS"]!;
    assert.equal((JSON.parse(json) as { type: string }).type, "service_account");
  });

  test("cat shows nothing but ENC[...] for every value, and a manifest for all else", async () => {
    const { stdout } = await desk.run(blockOf(guide, "Verify encryption").text);
    const { stringData, ...rest } = parse(stdout) as Manifest;
    assert.ok(Object.keys(stringData).length >= 5);
    for (const [key, value] of Object.entries(stringData)) {
      assert.match(value, /^ENC\[AES256_GCM,data:/, key);
    }
    const { kind, metadata } = rest as { kind?: string; metadata?: Record<string, string> };
    assert.equal(kind, "Secret");
    assert.deepEqual(metadata, { name: "odoo-filestore-restic", namespace: "business-system" });
    await desk.run("holdfast secrets check");
  });

  test("JSON that is pasted without a block is no text, and is told apart", async () => {
    const bare = `apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData:\n  A: {"type": "y"}\n`;
    desk.write("bare.yaml", bare);
    const run = await desk.run("holdfast --from-secret bare.yaml snapshots", { status: null });
    assert.notEqual(run.status, 0);
    assert.match(run.stderr, /\bA\b/);
  });

  test("real restic lists the snapshots once rclone is configured, and Holdfast without", async () => {
    await desk.run(`holdfast --from-secret ${SECRET_FILE} init`);
    await desk.run(
      `cd ${source} && holdfast --from-secret ${desk.checkout}/${SECRET_FILE} backup --host volsync .`,
    );
    const list = blockOf(guide, "List snapshots in GCS");
    assert.equal(commandsOf(list).length, 2);

    const withoutRclone = await desk.run(list.text, { status: null });
    assert.notEqual(withoutRclone.status, 0, "the guide says that rclone has to be configured");
    writeFileSync(join(desk.folder, "rclone.conf"), await desk.rcloneConfiguration());
    const { stdout } = await desk.run(list.text);
    assert.match(stdout, /^[0-9a-f]{8} +\d{4}-.* volsync /m);
    assert.match(stdout, /1 snapshots/);

    const ours = await desk.run(list.text.replace(/^restic /m, "holdfast "), {
      // The configuration that the desk wrote for rclone has the bucket's own address for tokens.
      env: { HOLDFAST_GS_ALLOW_CREDENTIALS: "token-uri" },
    });
    assert.equal(rows(ours.stdout), rows(stdout));
    const short = await desk.run(`holdfast --from-secret ${SECRET_FILE} snapshots`, {
      env: { RCLONE_CONFIG: "/dev/null" },
    });
    assert.equal(rows(short.stdout), rows(stdout));
  });

  test("every object is under the customer's key", () => {
    const stored = desk.google.buckets.get(BUCKET)!.all(false);
    assert.ok(stored.length > 3);
    for (const { kmsKeyName } of stored) assert.equal(kmsKeyName, `${KMS_KEY}/cryptoKeyVersions/1`);
  });

  test("HOLDFAST_GS_KMS_KEY holds the bucket to that key: under another one nothing is stored", async () => {
    const backup = `cd ${source} && holdfast --from-secret ${desk.checkout}/${SECRET_FILE} backup --host volsync .`;
    writeFileSync(join(source, "later"), "later");
    const other = KMS_KEY.replace("backup-encryption", "other");
    const refused = await desk.run(backup, { env: { HOLDFAST_GS_KMS_KEY: other }, status: null });
    assert.notEqual(refused.status, 0);
    assert.match(refused.stderr, /Cloud KMS key/);
    await desk.run(backup, { env: { HOLDFAST_GS_KMS_KEY: KMS_KEY } });
  });

  test("holdfast secrets init makes the same Secret from Terraform's output, with nothing in plain", async () => {
    const output = commandOf(guide, "Edit and encrypt the secret", "terraform").split("|")[0]!;
    await desk.run(`${output} | holdfast secrets init new.enc.yaml rclone:gcs:${BUCKET}/filestore \\
      --name odoo-filestore-restic --namespace business-system --credentials -`);
    const opened = async (file: string): Promise<{ stringData: Record<string, string> }> =>
      parse((await desk.run(`sops -d ${file}`)).stdout) as { stringData: Record<string, string> };
    const [made, filled] = [await opened("new.enc.yaml"), await opened(SECRET_FILE)];
    // The address of the desk's Google stands in the one that was filled in by hand.
    delete filled.stringData["RCLONE_CONFIG_GCS_ENDPOINT"];
    const json = "RCLONE_CONFIG_GCS_SERVICE_ACCOUNT_CREDENTIALS";
    for (const each of [made, filled]) {
      each.stringData[json] = JSON.stringify(JSON.parse(each.stringData[json]!));
      each.stringData["RESTIC_PASSWORD"] = "";
    }
    assert.deepEqual(made, filled);
    await desk.run("rm new.enc.yaml");
  });

  test("commit and push: nothing that is secret leaves the desk in plain", async () => {
    const { text } = blockOf(guide, "Commit and push changes");
    await desk.run(text);
    const { stdout } = await desk.run(
      "git clone -q ../remote.git ../clone && cd ../clone && git ls-files",
    );
    assert.ok(stdout.includes(SECRET_FILE));
    assert.doesNotMatch(stdout, /tfstate|agekey|gcs-sa/);
    const plain = await desk.run(
      `! grep -rIl -e "PRIVATE KEY" -e "$(sed s/.*:.// /tmp/screen | head -1)" ../clone`,
    );
    assert.equal(plain.stdout, "");
  });

  test("from git, the key and the bucket alone: the tree is back on an empty machine", async () => {
    const target = join(desk.folder, "elsewhere");
    mkdirSync(target);
    const env = { RCLONE_CONFIG: "/dev/null", RESTIC_CACHE_DIR: join(desk.folder, "cold") };
    const secret = join(desk.folder, "clone", SECRET_FILE);
    await desk.run(`cd / && holdfast --from-secret ${secret} restore latest --target ${target}`, {
      env,
    });
    assertSameTree(target, source);
    // The account reads the database's archive as well, which is beside it in the bucket: there is none yet.
    const archive = `--from-secret ${secret} --archive rclone:gcs:${BUCKET}/base --server odoo`;
    const listed = await desk.run(`holdfast pg list ${archive}`, { env, status: null });
    assert.match(listed.stderr, /there is no archive at rclone:gcs:/);
  });

  test("the key of the account that the guide leaves in /tmp can be read by everybody", () => {
    const { mode } = statSync(join(desk.folder, "gcs-sa.json"));
    assert.equal(mode & 0o004, 0o004);
  });
});

/** The rows of a table of snapshots: ids and times. */
function rows(table: string): string {
  return (table.match(/^[0-9a-f]{8} +\S+ \S+/gm) ?? []).join("\n");
}
