// What the status of a ReplicationSource and a ReplicationDestination have in common, as VolSync has it.

import { z } from "zod";
import type { Condition, KubeObject } from "../cluster/kube-object.ts";
import { HoldfastError } from "../../base/errors.ts";
import { FOREIGN_MOVERS, type Fields } from "./mover-fields.ts";
import { int32, text, texts, time } from "./pod-fields.ts";

export interface MoverStatus {
  result?: "Successful" | "Failed";
  /** The end of the log, 1,024 bytes at most. */
  logs?: string;
}

export interface CommonStatus {
  /** End of the last successful run. RFC 3339, as every time here. */
  lastSyncTime?: string;
  /** Present only while a run is under way: it is the flag of that state. */
  lastSyncStartTime?: string;
  /** As Go prints it: formatGoDuration. */
  lastSyncDuration?: string;
  nextSyncTime?: string;
  /** `spec.trigger.manual` of the last run that ended well. */
  lastManualSync?: string;
  latestMoverStatus?: MoverStatus;
  /** `Synchronizing` comes first. */
  conditions?: Condition[];
  /** Ours: keys of EXTERNAL (names.ts). */
  external?: Record<string, string>;
}

/** Of movers that Holdfast does not run: kept as it is. */
export type ForeignStatus = Record<string, unknown>;

export const condition: z.ZodType<Condition> = z.looseObject({
  lastTransitionTime: time,
  message: z.string().max(32_768),
  observedGeneration: z.int().min(0).meta({ format: "int64" }).exactOptional(),
  reason: z
    .string()
    .min(1)
    .max(1024)
    .regex(/^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/),
  status: z.enum(["True", "False", "Unknown"]),
  type: z
    .string()
    .max(316)
    .regex(
      /^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$/,
    ),
});

export const statusFields: Fields<CommonStatus> = {
  conditions: z
    .array(condition)
    .exactOptional()
    .describe("Synchronizing says what is going on; Problem what stands in the way"),
  external: texts.exactOptional().describe("What the controller keeps about this resource"),
  lastManualSync: text.exactOptional().describe("The manual trigger that was answered last"),
  lastSyncDuration: text.exactOptional().describe("How long the last successful run took"),
  lastSyncStartTime: time.exactOptional().describe("When the run under way began"),
  lastSyncTime: time.exactOptional().describe("When the last successful run ended"),
  latestMoverStatus: z
    .looseObject({
      logs: text.exactOptional(),
      // Any text, as upstream.
      result: (z.string() as unknown as z.ZodType<"Successful" | "Failed">).exactOptional(),
    })
    .exactOptional()
    .describe("How the last run went, and the end of its log"),
  nextSyncTime: time.exactOptional().describe("When the next run is due"),
};

const address = { address: text.exactOptional(), port: int32.exactOptional() };

function foreign(fields: z.core.$ZodLooseShape): z.ZodExactOptional<z.ZodType<ForeignStatus>> {
  return z
    .looseObject(fields)
    .exactOptional()
    .describe("Status of a mover of VolSync that Holdfast does not run");
}

type ForeignStatuses = Readonly<Record<string, z.ZodExactOptional<z.ZodType<ForeignStatus>>>>;

export const foreignSourceStatus: ForeignStatuses = {
  rsync: foreign({ ...address, sshKeys: text.exactOptional() }),
  rsyncTLS: foreign({ keySecret: text.exactOptional() }),
  syncthing: foreign({
    ID: text.exactOptional(),
    address: text.exactOptional(),
    peers: z
      .array(
        z.looseObject({
          ID: text,
          address: text,
          connected: z.boolean(),
          introducedBy: text.exactOptional(),
          name: text.exactOptional(),
        }),
      )
      .exactOptional(),
  }),
};

export const foreignDestinationStatus: ForeignStatuses = {
  rsync: foreign({ ...address, sshKeys: text.exactOptional() }),
  rsyncTLS: foreign({ ...address, keySecret: text.exactOptional() }),
};

/** Checks what the API server gave; throws RESOURCE_INVALID that names the field. A missing spec becomes an empty one. */
export function readResource<T extends KubeObject>(schema: z.ZodType<T>, value: unknown): T {
  const given = typeof value === "object" && value !== null ? value : {};
  const result = schema.safeParse("spec" in given ? value : { ...given, spec: {} });
  // The object itself goes on: fields that the schema does not know stay where they are.
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = issue?.path.join(".") ?? "";
  throw new HoldfastError(
    "RESOURCE_INVALID",
    `${where || "the object"}: ${issue?.message ?? "is not valid"}`,
    {
      hint: "Compare it with the CRD that `holdfast operator crds` prints",
    },
  );
}

/** Which movers the spec names, ours or not. */
export function moversOf(spec: Readonly<Record<string, unknown>>): string[] {
  return ["restic", ...FOREIGN_MOVERS].filter((one) => spec[one] !== undefined);
}
