import { suite, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { isHoldfastError } from "../base/errors.ts";
import { planJsonSchema } from "./plan-schema.ts";
import type { Plan } from "./plan.ts";
import { readPlan } from "./read-plan.ts";

const FULL = `
timeZone: Europe/Berlin
state: state
window: 30d
secrets:
  files: [secrets/common.enc.yaml]
instances:
  - name: production
    secrets:
      variables: ["PGPASSWORD=file:/run/secrets/pg"]
    filestore: /var/lib/odoo/filestore/production
    database: { connect: host=db1 user=odoo dbname=production, replication: host=db1 user=backup }
    repository: { location: "gs:company:/restic", host: volsync, owned: true }
    archive:
      location: gs://company/base
      server: odoo
      owned: true
      receive: { slot: holdfast_odoo, spoolLimit: 2G }
    keep: { daily: 7 }
    capture: { interval: 30s }
    schedules:
      base: "0 1 * * 0"
      snapshot: 0 2 * * *
      expire: "@daily"
      prune: "0 5 * * 6"
      drill: "0 6 * * 1"
    drill: { sample: 200M }
`;

const read = (text: string): Plan =>
  readPlan({ text, name: "plan.yaml", path: "/etc/holdfast/plan.yaml" });

/** The lines of the refusal. */
function problems(text: string): string[] {
  try {
    read(text);
  } catch (error) {
    assert.ok(isHoldfastError(error, "PLAN_INVALID"), String(error));
    return error.message.split("\n");
  }
  return [];
}

suite("a plan that is read", () => {
  test("everything that can be said, with paths from its own folder", () => {
    const plan = read(FULL);
    assert.equal(plan.state, "/etc/holdfast/state");
    const [one] = plan.instances;
    const { window, schedules, archive, ...rest } = one!;
    assert.deepEqual(window, {
      text: "30d",
      milliseconds: 30 * 86_400_000,
      policy: { kind: "window", count: 30, unit: "DAYS" },
    });
    assert.deepEqual(Object.keys(schedules), ["base", "snapshot", "expire", "prune", "drill"]);
    assert.equal(schedules.snapshot!.timeZone, "Europe/Berlin");
    assert.deepEqual(archive, {
      location: "gs://company/base",
      server: "odoo",
      owned: true,
      receive: {
        slot: "holdfast_odoo",
        createSlot: true,
        unlimitedSlot: false,
        spool: undefined,
        spoolLimit: 2 * 2 ** 30,
        partialAfter: 5000,
        shared: false,
      },
    });
    assert.deepEqual(rest, {
      name: "production",
      secrets: {
        files: ["/etc/holdfast/secrets/common.enc.yaml"],
        variables: ["PGPASSWORD=file:/run/secrets/pg"],
      },
      filestore: "/var/lib/odoo/filestore/production",
      database: {
        connect: "host=db1 user=odoo dbname=production",
        replication: "host=db1 user=backup",
      },
      repository: {
        location: "gs:company:/restic",
        captures: undefined,
        host: "volsync",
        owned: true,
      },
      keep: { last: 0, hourly: 0, daily: 7, weekly: 0, monthly: 0, yearly: 0 },
      capture: { interval: 30_000 },
      drill: { sample: 200 * 2 ** 20 },
    });
  });

  test("the least that makes sense, and parts that several instances share", () => {
    const [least] = read(
      "instances: [{ name: a, filestore: ./files, repository: {}, capture: {} }]",
    ).instances;
    assert.equal(least!.filestore, "/etc/holdfast/files");
    assert.equal(least!.capture!.interval, 20_000);
    assert.deepEqual(least!.secrets, { files: [], variables: [] });
    const two = read(`
instances:
  - &base { name: a, database: {}, archive: { owned: true }, window: 7 days, schedules: { expire: "@daily" } }
  - { <<: *base, name: b, window: 2 weeks }
`).instances;
    assert.deepEqual(
      two.map(({ name, window }) => [name, window!.policy.count]),
      [
        ["a", 7],
        ["b", 2],
      ],
    );
  });
});

suite("a plan that is refused", () => {
  test("with file, line and column, what is wrong and what may be meant", () => {
    const text = FULL.replace("interval: 30s", "intervall: 30s")
      .replace("0 1 * * 0", "0 1 * * 7")
      .replace("Europe/Berlin", "Europe/Bonn")
      .replace("owned: true }", "owned: yes }")
      .replace("daily: 7", "daily: 7.5");
    assert.deepEqual(problems(text), [
      'plan.yaml:2:1: timeZone is no time zone: "Europe/Bonn". Give a name such as Europe/Berlin, or UTC',
      "plan.yaml:13:66: instances[0].repository.owned is not true or false",
      "plan.yaml:19:13: instances[0].keep.daily is not a whole number",
      "plan.yaml:20:16: instances[0].capture.intervall is not known here: did you mean `interval`?",
      'plan.yaml:22:7: instances[0].schedules.base: "0 1 * * 7": the day of the week "7" is outside of 0 to 6. Sunday is 0 here, as in Kubernetes.',
    ]);
  });

  test("keys without a near one get the list, and what is missing is told where it should be", () => {
    assert.deepEqual(problems("instances:\n  - filestore: /f\n    x: 1\n"), [
      "plan.yaml:2:5: instances[0].name is missing",
      "plan.yaml:3:5: instances[0].x is not known here: there are name, secrets, filestore, database, repository, archive, window, keep, capture, schedules, drill",
    ]);
    assert.deepEqual(problems("instances:\n  - name: a\n    capture:\n"), [
      "plan.yaml:3:5: instances[0].capture is empty: write {} for the defaults",
    ]);
    assert.deepEqual(problems(""), ["plan.yaml:1:1: the plan is empty"]);
    assert.deepEqual(problems("- a"), ["plan.yaml:1:1: the plan is not a map of keys"]);
    assert.deepEqual(problems("instances: []"), ["plan.yaml:1:1: instances has no instance"]);
    const windows = 'instances: [{ name: a, window: "REDUNDANCY 3" }, { name: b, window: soon }]';
    assert.deepEqual(
      problems(windows).map((line) => line.replace(/^[^ ]+ /, "")),
      [0, 1].map((at) => `instances[${at}].window is no time. Write it as 30d, 7 days or 4 weeks.`),
    );
    assert.deepEqual(problems("instances: [{ name: 12 }]"), [
      'plan.yaml:1:15: instances[0].name is not a text: put it in quotes, with its unit if it has one: "30d", "20s"',
    ]);
  });

  test("a task without what it needs, and one that would do nothing", () => {
    const lines = problems(`
instances:
  - name: a
    capture: { interval: 100ms }
    archive: { receive: { spoolLimit: 1M } }
    schedules: { base: "@daily", snapshot: "@daily", expire: "@daily", prune: "@daily", drill: "@daily" }
  - name: a
    repository: {}
    window: 7d
    schedules: { expire: "@daily", prune: "@daily" }
`);
    const texts = lines.map((line) => line.replace(/^plan.yaml:\d+:\d+: instances/, "")).toSorted();
    assert.deepEqual(texts, [
      "[0].archive.receive needs `database` of the instance",
      "[0].archive.receive.spoolLimit is less than 32M, which is two segments",
      "[0].capture needs `filestore` and `repository` of the instance",
      "[0].capture.interval is not between 1s and 1h",
      "[0].schedules.base needs `database` of the instance",
      "[0].schedules.drill needs `repository` of the instance",
      "[0].schedules.expire needs `window` of the instance",
      "[0].schedules.prune needs `repository` of the instance",
      "[0].schedules.snapshot needs `filestore` and `repository` of the instance",
      "[1].name is the name of another instance, too",
      "[1].schedules.expire has nothing to expire: say `owned: true` of the repository or the archive, when nobody else deletes there",
      "[1].schedules.prune prunes nothing: say `owned: true` of the repository",
    ]);
  });

  test("credentials, which no message repeats", () => {
    const lines = problems(`
instances:
  - name: a
    database: { connect: postgresql://odoo:hunter2@db1/odoo, replication: user=a password=hunter2 }
    repository: { location: "rest:https://me:hunter2@host/" }
    secrets: { variables: ["PGPASSWORD=hunter2"] }
`);
    assert.equal(lines.length, 4, lines.join("\n"));
    assert.ok(!lines.join().includes("hunter2"), lines.join("\n"));
  });

  test("syntax", () => {
    assert.match(problems("instances: [\n")[0]!, /^plan.yaml:2:1: /);
    assert.match(problems("a: 1\na: 2\n")[0]!, /^plan.yaml:2:1: .*unique/);
    assert.match(problems("instances: !secret x\n")[0]!, /^plan.yaml:1:12: .*tag/);
    assert.match(problems("a: 1\n---\nb: 2\n")[0]!, /document/);
    const bomb =
      "a: &a [x, x]\n" +
      "bcdefgh"
        .split("")
        .map((one, i) => `${one}: &${one} [${Array(9).fill(`*${"abcdefg"[i]!}`).join()}]\n`)
        .join("");
    assert.match(problems(bomb)[0]!, /alias/);
  });

  test("anything at all is read, or refused with a place for each problem", () => {
    const letters = fc.string({
      unit: fc.constantFrom(..."abin:-[]{}\n \"'&*!|>#%@,1".split("")),
      maxLength: 60,
    });
    const mutated = fc
      .tuple(fc.nat(FULL.length), fc.nat(8), letters)
      .map(([at, length, put]) => FULL.slice(0, at) + put + FULL.slice(at + length));
    fc.assert(
      fc.property(fc.oneof(letters, mutated), (text) => {
        for (const line of problems(text))
          assert.match(line, /^plan\.yaml:(?:\d+:\d+: .| and \d+ more)/);
      }),
      { numRuns: 300 },
    );
  });
});

test("the JSON Schema is one, and describes every key that takes a value", () => {
  const visit = (schema: Record<string, unknown>, path: string): string[] => {
    const properties = schema["properties"] as Record<string, Record<string, unknown>> | undefined;
    const items = schema["items"] as Record<string, unknown> | undefined;
    if (properties !== undefined) {
      assert.equal(schema["additionalProperties"], false, path);
      return Object.entries(properties).flatMap(([key, one]) => visit(one, `${path}.${key}`));
    }
    if (items?.["properties"] !== undefined) return visit(items, `${path}[]`);
    return typeof schema["description"] === "string" ? [] : [path];
  };
  assert.deepEqual(visit(planJsonSchema() as Record<string, unknown>, ""), []);
});
