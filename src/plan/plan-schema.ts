// The schema of a plan: which keys there are, what they take, and what goes together. One description for the check, for
// the JSON Schema that editors take, and for the manual (docs/operations/plan.md). Nothing here knows where in a file a
// value stands. No key takes a credential: those come from where `secrets` says.

import { z } from "zod";
import { parseByteSize } from "../base/byte-size.ts";
import { parseDuration } from "../base/duration.ts";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { parseRetentionPolicy, windowStart, type RetentionPolicy } from "../barman/retention.ts";
import { redactLocation } from "../storage/location.ts";
import { SCHEDULED_TASKS, type Plan } from "./plan.ts";
import { isTimeZone, parseSchedule } from "./schedule.ts";

/** What is wrong with a value, and where it stands. */
export interface PlanIssue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  /** Keys that the map at `path` has and should not, with those it could have. */
  readonly unknown?: { readonly keys: readonly string[]; readonly known: readonly string[] };
}

const SERVICE_INTERVAL_MIN = 1000;
const SERVICE_INTERVAL_MAX = 3_600_000;
const SPOOL_LIMIT_MIN = 32 << 20;

const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/, "is no name: use letters, digits, - _ and .")
  .meta({ description: "name of the instance, in reports and in the journal" });

/** A text that a function of ours reads; what it throws is the message. */
function read<T>(description: string, parse: (text: string) => T): z.ZodType<T, string> {
  return z
    .string()
    .meta({ description })
    .transform((text, context) => {
      try {
        return parse(text);
      } catch (error) {
        if (!isHoldfastError(error)) throw error;
        const hint = error.hint === undefined ? "" : `. ${error.hint}`;
        context.addIssue({ code: "custom", message: `${error.message.replace(/^: /, "")}${hint}` });
        return z.NEVER;
      }
    });
}

const text = (description: string) => z.string().min(1, "is empty").meta({ description });
const flag = (description: string, byDefault: boolean) =>
  z.boolean().default(byDefault).meta({ description });

const location = (description: string) =>
  text(description).refine((one) => redactLocation(one) === one, {
    message: "holds a credential. Put it where `secrets` finds it, and leave it out here",
  });
const conninfo = (description: string) =>
  text(description).refine((one) => !/\bpassword\s*=|:\/\/[^/@]*:[^/@]*@/i.test(one), {
    message: "holds a password. Put PGPASSWORD where `secrets` finds it, and leave it out here",
  });
const duration = (description: string) => read(description, (one) => parseDuration(one, ""));
/** In any zone: the plan's is not known yet. */
const cron = (description: string) =>
  text(description).superRefine((line, context) => {
    if (line === "") return;
    try {
      parseSchedule(line, { timeZone: "UTC", source: JSON.stringify(line) });
    } catch (error) {
      if (!isHoldfastError(error)) throw error;
      context.addIssue({ code: "custom", message: `${error.message}. ${error.hint}` });
    }
  });
const size = (description: string) => read(description, (one) => parseByteSize(one, ""));
const count = (unit: string) =>
  z
    .int()
    .min(0)
    .default(0)
    .meta({ description: `how many ${unit} snapshots to keep beyond what the window needs` });

const window = read("how far back any moment must be recoverable: 30d, 4 weeks", (one) => {
  // A number of backups says nothing about moments.
  const policy = /redundancy/i.test(one) ? undefined : tryPolicy(one);
  if (policy === undefined)
    throw new HoldfastError("USAGE", "is no time", { hint: "Write it as 30d, 7 days or 4 weeks." });
  return { text: one, policy, milliseconds: -windowStart(policy, 0)! };
});

function tryPolicy(text: string): RetentionPolicy | undefined {
  try {
    return parseRetentionPolicy(text, "");
  } catch (error) {
    if (!isHoldfastError(error, "USAGE")) throw error;
    return undefined;
  }
}

const secrets = z
  .strictObject({
    files: z
      .array(text("path of a Secret manifest or a file of variables, SOPS or plain"))
      .default([])
      .meta({ description: "files of variables, as --from-secret takes them" }),
    variables: z
      .array(
        text("NAME=SOURCE").regex(
          /^[A-Za-z_][A-Za-z0-9_]*=(?:sops|env|file|command):./,
          "is not NAME=SOURCE with sops:FILE#PATH, env:NAME, file:PATH or command:WORDS",
        ),
      )
      .default([])
      .meta({ description: "single variables, as --secret takes them" }),
  })
  .prefault({});

const receive = z.strictObject({
  slot: z
    .string()
    .regex(/^[a-z0-9_]{1,63}$/, "is no name of a slot: use a-z, 0-9 and _")
    .default("holdfast")
    .meta({ description: "the replication slot that keeps WAL on the server for us" }),
  createSlot: flag("make the slot when it is missing", true),
  unlimitedSlot: flag("make it even where max_slot_wal_keep_size is not set", false),
  spool: text("folder for WAL that waits to be archived").optional(),
  spoolLimit: size("most bytes that may wait there").prefault("1G"),
  partialAfter: duration("archive what is not a whole segment yet after this").prefault("5s"),
  shared: flag("another program archives under the same server name", false),
});

const instance = z.strictObject({
  name,
  secrets,
  filestore: text("the database's filestore: the folder of ab/ab12…").optional(),
  database: z
    .strictObject({
      connect: conninfo("connection string or URI, as psql takes it").optional(),
      replication: conninfo("the same for replication, where that is another user").optional(),
    })
    .optional(),
  repository: z
    .strictObject({
      location: location(
        "the restic repository; without it, RESTIC_REPOSITORY of the secrets",
      ).optional(),
      captures: location("the capture repository; without it, beside the repository").optional(),
      host: text("host name of the snapshots").optional(),
      owned: flag("nobody else forgets and prunes here", false),
    })
    .optional(),
  archive: z
    .strictObject({
      location: location("the archive: Barman's destination path").optional(),
      server: text("its server").optional(),
      owned: flag("nobody else deletes base backups and WAL here", false),
      receive: receive.optional(),
    })
    .optional(),
  window: window.optional(),
  keep: z
    .strictObject({
      last: count("latest"),
      hourly: count("hourly"),
      daily: count("daily"),
      weekly: count("weekly"),
      monthly: count("monthly"),
      yearly: count("yearly"),
    })
    .prefault({}),
  capture: z
    .strictObject({ interval: duration("from one look to the next").prefault("20s") })
    .optional(),
  schedules: z
    .strictObject({
      base: cron("when to make base backups").optional(),
      snapshot: cron("when to make full snapshots of the filestore").optional(),
      expire: cron("when to remove what the window does not need").optional(),
      prune: cron("when to remove from repositories what no snapshot needs").optional(),
      drill: cron("when to recover into a scratch place, check and measure").optional(),
    })
    .prefault({}),
  drill: z
    .strictObject({ sample: size("bytes of files that a drill reads; without it, all").optional() })
    .prefault({}),
});

const document = z.strictObject({
  timeZone: z
    .string()
    .refine(isTimeZone, {
      error: ({ input }) =>
        `is no time zone: ${JSON.stringify(input)}. Give a name such as Europe/Berlin, or UTC`,
    })
    .default("UTC")
    .meta({ description: "the zone of all schedules" }),
  state: text("folder of the journal, and of what waits to be archived").optional(),
  window: window.optional(),
  secrets,
  instances: z.array(instance).min(1, "has no instance"),
});

type Instance = z.output<typeof instance>;
type Complain = (path: readonly PropertyKey[], message: string) => void;

/**
 * Checks `value` and fills in what it leaves out; paths are as they were written. Never throws about the value.
 */
export function checkPlan(value: unknown): {
  readonly plan: Plan | undefined;
  readonly issues: readonly PlanIssue[];
} {
  const outcome = document.safeParse(value, { reportInput: true });
  if (!outcome.success) return { plan: undefined, issues: outcome.error.issues.map(issueOf) };
  const issues: PlanIssue[] = [];
  const { timeZone, state, window: common, secrets: shared, instances } = outcome.data;
  const plan: Plan = {
    state,
    instances: instances.map((one, number) => {
      const complain: Complain = (path, message) =>
        issues.push({ path: ["instances", number, ...path], message });
      const whole = { ...one, window: one.window ?? common };
      if (instances.findIndex((other) => other.name === one.name) !== number)
        complain(["name"], "is the name of another instance, too");
      requireParts(whole, complain);
      requireRanges(whole, complain);
      return { ...toPlan(whole, { timeZone, complain }), secrets: joined(shared, one.secrets) };
    }),
  };
  return { plan: issues.length === 0 ? plan : undefined, issues };
}

/** The schema as JSON Schema, for editors. */
export function planJsonSchema(): object {
  return z.toJSONSchema(document, { io: "input" });
}

function joined(shared: Instance["secrets"], own: Instance["secrets"]): Instance["secrets"] {
  return {
    files: [...shared.files, ...own.files],
    variables: [...shared.variables, ...own.variables],
  };
}

/** What a task needs to be there at all. */
function requireParts(
  { filestore, database, repository, archive, window: reach, capture, schedules }: Instance,
  complain: Complain,
): void {
  const need = (path: readonly string[], parts: Readonly<Record<string, unknown>>): void => {
    const absent = Object.entries(parts).filter(([, part]) => part === undefined);
    if (absent.length > 0)
      complain(path, `needs ${absent.map(([key]) => `\`${key}\``).join(" and ")} of the instance`);
  };
  if (schedules.base !== undefined) need(["schedules", "base"], { database, archive });
  if (archive?.receive !== undefined) need(["archive", "receive"], { database });
  if (schedules.snapshot !== undefined) need(["schedules", "snapshot"], { filestore, repository });
  if (capture !== undefined) need(["capture"], { filestore, repository });
  if (schedules.drill !== undefined) need(["schedules", "drill"], { repository, archive });
  if (schedules.prune !== undefined) need(["schedules", "prune"], { repository });
  if (schedules.expire !== undefined) {
    need(["schedules", "expire"], { window: reach });
    if (repository?.owned !== true && archive?.owned !== true && capture === undefined)
      complain(
        ["schedules", "expire"],
        "has nothing to expire: say `owned: true` of the repository or the archive, when nobody else deletes there",
      );
  }
  if (schedules.prune !== undefined && repository?.owned === false && capture === undefined)
    complain(["schedules", "prune"], "prunes nothing: say `owned: true` of the repository");
}

function requireRanges({ capture, archive }: Instance, complain: Complain): void {
  const { interval = SERVICE_INTERVAL_MIN } = capture ?? {};
  if (interval < SERVICE_INTERVAL_MIN || interval > SERVICE_INTERVAL_MAX)
    complain(["capture", "interval"], "is not between 1s and 1h");
  if (archive?.receive !== undefined && archive.receive.spoolLimit < SPOOL_LIMIT_MIN)
    complain(["archive", "receive", "spoolLimit"], "is less than 32M, which is two segments");
}

function toPlan(
  one: Instance,
  { timeZone, complain }: { readonly timeZone: string; readonly complain: Complain },
): Plan["instances"][number] {
  const schedules: Partial<
    Record<(typeof SCHEDULED_TASKS)[number], ReturnType<typeof parseSchedule>>
  > = {};
  for (const task of SCHEDULED_TASKS) {
    const line = one.schedules[task];
    if (line === undefined) continue;
    try {
      schedules[task] = parseSchedule(line, { timeZone, source: JSON.stringify(line) });
    } catch (error) {
      if (!isHoldfastError(error)) throw error;
      complain(["schedules", task], `${error.message}. ${error.hint}`);
    }
  }
  const { archive, repository, database, filestore, drill } = one;
  return {
    ...one,
    filestore,
    window: one.window,
    capture: one.capture,
    schedules,
    database: database && { connect: database.connect, replication: database.replication },
    repository: repository && {
      ...repository,
      location: repository.location,
      captures: repository.captures,
      host: repository.host,
    },
    archive: archive && {
      ...archive,
      location: archive.location,
      server: archive.server,
      receive: archive.receive && { ...archive.receive, spool: archive.receive.spool },
    },
    drill: { sample: drill.sample },
  };
}

function issueOf(issue: z.core.$ZodIssue): PlanIssue {
  const { path } = issue;
  switch (issue.code) {
    case "unrecognized_keys": {
      const { keys } = issue;
      return { path, message: "is not known here", unknown: { keys, known: keysAt(path) } };
    }
    case "invalid_type":
      return { path, message: wrongType(issue) };
    case "invalid_format":
    case "custom":
      return { path, message: issue.message };
    case "too_small":
    case "too_big":
      return {
        path,
        message: /^(?:is|has) /.test(issue.message) ? issue.message : "is out of range",
      };
    default:
      return { path, message: issue.message };
  }
}

const NAMES: Readonly<Record<string, string>> = {
  string: "a text",
  boolean: "true or false",
  object: "a map of keys",
  array: "a list",
  int: "a whole number",
  number: "a number",
};

function wrongType(issue: z.core.$ZodIssueInvalidType): string {
  const wanted = NAMES[issue.expected] ?? issue.expected;
  if (issue.input === undefined) return "is missing";
  if (issue.input === null)
    return issue.expected === "object" ? "is empty: write {} for the defaults" : "is empty";
  const unit = typeof issue.input === "number" ? ', with its unit if it has one: "30d", "20s"' : "";
  const quote = issue.expected === "string" ? `: put it in quotes${unit}` : "";
  return `is not ${wanted}${quote}`;
}

/** The keys that the map at `path` may have. */
function keysAt(path: readonly PropertyKey[]): string[] {
  let schema: unknown = document;
  for (const step of path) {
    schema = bare(schema);
    if (schema instanceof z.ZodArray) schema = schema.element;
    else if (schema instanceof z.ZodObject) schema = schema.shape[step as string];
  }
  schema = bare(schema);
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

/** The schema inside of what only says that it may be left out. */
function bare(schema: unknown): unknown {
  while (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault
  )
    schema = schema.unwrap();
  return schema;
}
