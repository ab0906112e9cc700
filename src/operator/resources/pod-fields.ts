// Fields of Kubernetes' own types that VolSync's resources take over: quantities, what a pod may be, which volumes it gets.
// Objects stay open: a field that a newer Kubernetes adds is passed on, never dropped.

import { z } from "zod";
import type {
  AccessMode,
  PodSecurityContext,
  ResourceRequirements,
} from "../cluster/kube-object.ts";
import { QUANTITY_PATTERN } from "./quantity.ts";

/** In a field's metadata: the API server must keep what the schema does not name. */
export const OPEN = { "x-kubernetes-preserve-unknown-fields": true } as const;

export const text: z.ZodString = z.string();
export const flag: z.ZodBoolean = z.boolean();
export const int32: z.ZodType<number> = z.int().meta({ format: "int32" });
export const int64: z.ZodType<number> = z.int().meta({ format: "int64" });
export const texts: z.ZodType<Record<string, string>> = z.record(z.string(), z.string());
/** RFC 3339. The API server checks the format. */
export const time: z.ZodType<string> = z.string().meta({ format: "date-time" });
export const port: z.ZodType<number> = z.int().min(0).max(65_535).meta({ format: "int32" });

/** A number or a text such as `10Gi`. */
export const quantity: z.ZodType<string | number> = z
  .union([z.int(), z.string().regex(QUANTITY_PATTERN)])
  .meta({ "x-kubernetes-int-or-string": true });

/** The names that Kubernetes knows; the schema takes any text, as upstream's does. */
export const accessMode: z.ZodType<AccessMode> = z.string() as unknown as z.ZodType<AccessMode>;
export const accessModes: z.ZodType<AccessMode[]> = z.array(accessMode).min(1);

export const copyMethod: z.ZodType<CopyMethod> = z.enum(["Direct", "None", "Clone", "Snapshot"]);

/** How the data of a claim is reached: itself (`None` is the old word for `Direct`), or a copy made at once. */
export type CopyMethod = "Direct" | "None" | "Clone" | "Snapshot";

const profile = z.looseObject({
  localhostProfile: text.exactOptional(),
  type: text,
});

export const podSecurityContext: z.ZodType<PodSecurityContext> = z
  .looseObject({
    appArmorProfile: profile.exactOptional(),
    fsGroup: int64.exactOptional(),
    // Any text, as upstream: the API server refuses what it does not know when the pod is made.
    fsGroupChangePolicy: (
      z.string() as unknown as z.ZodType<"Always" | "OnRootMismatch">
    ).exactOptional(),
    runAsGroup: int64.exactOptional(),
    runAsNonRoot: flag.exactOptional(),
    runAsUser: int64.exactOptional(),
    seLinuxChangePolicy: text.exactOptional(),
    seLinuxOptions: z
      .looseObject({
        level: text.exactOptional(),
        role: text.exactOptional(),
        type: text.exactOptional(),
        user: text.exactOptional(),
      })
      .exactOptional() as unknown as z.ZodExactOptional<z.ZodType<Record<string, string>>>,
    seccompProfile: profile.exactOptional(),
    supplementalGroups: z.array(int64).meta({ "x-kubernetes-list-type": "atomic" }).exactOptional(),
    supplementalGroupsPolicy: text.exactOptional(),
    sysctls: z
      .array(z.looseObject({ name: text, value: text }))
      .meta({ "x-kubernetes-list-type": "atomic" })
      .exactOptional(),
    windowsOptions: z
      .looseObject({
        gmsaCredentialSpec: text.exactOptional(),
        gmsaCredentialSpecName: text.exactOptional(),
        hostProcess: flag.exactOptional(),
        runAsUserName: text.exactOptional(),
      })
      .exactOptional(),
  })
  .meta(OPEN);

export const resourceRequirements: z.ZodType<ResourceRequirements> = z
  .looseObject({
    claims: z
      .array(z.looseObject({ name: text, request: text.exactOptional() }))
      .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] })
      .exactOptional(),
    limits: z.record(z.string(), quantity).exactOptional(),
    requests: z.record(z.string(), quantity).exactOptional(),
  })
  .meta(OPEN);

/** An affinity of Kubernetes. It is handed to pods as it is, and checked by the API server when one is made. */
export const affinity: z.ZodType<Record<string, unknown>> = z.looseObject({}).meta(OPEN);

/** A certificate authority beside those of the image. Of two sources the Secret counts; without `key` neither does. */
export interface CustomCa {
  secretName?: string;
  configMapName?: string;
  key?: string;
}

export const customCa: z.ZodType<CustomCa> = z.looseObject({
  configMapName: text.exactOptional(),
  key: text.exactOptional(),
  secretName: text.exactOptional(),
});

/** One more volume of a mover, at `/mnt/` and `mountPath`. */
export interface MoverVolumeSpec {
  mountPath: string;
  volumeSource: {
    secret?: {
      secretName?: string;
      defaultMode?: number;
      optional?: boolean;
      items?: { key: string; path: string; mode?: number }[];
    };
    persistentVolumeClaim?: { claimName: string; readOnly?: boolean };
    nfs?: { server: string; path: string; readOnly?: boolean };
  };
}

export const moverVolumes: z.ZodType<MoverVolumeSpec[]> = z.array(
  z.looseObject({
    mountPath: text,
    volumeSource: z.looseObject({
      nfs: z
        .looseObject({ path: text, readOnly: flag.exactOptional(), server: text })
        .exactOptional(),
      persistentVolumeClaim: z
        .looseObject({ claimName: text, readOnly: flag.exactOptional() })
        .exactOptional(),
      secret: z
        .looseObject({
          defaultMode: int32.exactOptional(),
          items: z
            .array(z.looseObject({ key: text, mode: int32.exactOptional(), path: text }))
            .meta({ "x-kubernetes-list-type": "atomic" })
            .exactOptional(),
          optional: flag.exactOptional(),
          secretName: text.exactOptional(),
        })
        .exactOptional(),
    }),
  }),
);
