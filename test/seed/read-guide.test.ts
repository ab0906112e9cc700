// That the guide is read as a person would read it: blocks under their steps, commands whole.

import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import { blockOf, commandOf, commandsOf, readGuide } from "./read-guide.ts";

const guide = readGuide();

test("every block stands under a step, with the line that it begins in", () => {
  assert.deepEqual(
    guide.blocks.map(({ language, step, line }) => `${line} ${language} ${step}`),
    [
      "8  Architecture",
      "54 bash Edit and encrypt the secret",
      "76 bash Verify encryption",
      "108 bash Commit and push changes",
      "115 bash Wait for Flux reconciliation",
      "121 bash Verify VolSync deployment",
      "127 bash Check initial sync status",
      "132 bash Trigger manual sync",
      "142 bash Check backup status",
      "147 bash View backup logs",
      "152 bash List snapshots in GCS",
      "168 yaml Create ReplicationDestination",
      "184 bash Trigger restore",
    ],
  );
  for (const { line, text } of guide.blocks) {
    const first = text.split("\n")[0]!;
    assert.equal(guide.lines[line - 1]!.text.trim(), first.trim());
  }
});

test("commands are whole, without comments", () => {
  const commands = commandsOf(blockOf(guide, "List snapshots in GCS"));
  assert.deepEqual(
    commands.map(({ line }) => line),
    [153, 157],
  );
  assert.match(commands[0]!.text, /^export RESTIC_PASSWORD=.*\n.*enc\.yaml\)$/);
  assert.equal(commands[1]!.text, "restic -r rclone:gcs:hayden-odoo-backups/filestore snapshots");
  assert.match(
    commandOf(guide, "Trigger manual sync", "annotate"),
    /^kubectl annotate replicationsource .*--overwrite$/s,
  );
  assert.throws(() => commandOf(guide, "Trigger manual sync", "absent"), /0 commands/);
  assert.throws(() => blockOf(guide, "absent"), /0 blocks/);
});

test("a manifest loses the indentation of its list, and nothing else", () => {
  const { text } = blockOf(guide, "Create ReplicationDestination");
  const { kind, spec } = parse(text) as { kind: string; spec: { trigger: unknown } };
  assert.equal(kind, "ReplicationDestination");
  assert.deepEqual(spec.trigger, { manual: "restore-once" });
});

test("a block without an end is told", () => {
  assert.throws(() => readGuide("```bash\nls\n"), /line 2 has no end/);
});
