// A ReplicationSource: a claim that is backed up. What is particular to it; the rest is the same for both kinds (reconcile/).

import { reconcile, type Looked } from "./reconcile/reconcile.ts";
import type { ReconcileContext, RolePart } from "./reconcile/reconcile-context.ts";
import {
  readReplicationSource,
  REPLICATION_SOURCE,
  type ReplicationSource,
} from "./resources/replication-source.ts";
import { ensureCache } from "./volumes/cache.ts";
import { cleanUp } from "./volumes/clean-up.ts";
import { inferIdentity } from "./volumes/identity.ts";
import { restoresOf } from "./volumes/restores.ts";
import { ensureSourceVolume } from "./volumes/source-volume.ts";

/** Looks at the source under `namespace/name`, and does what is next. Throws only what passes by itself. */
export async function reconcileSource(context: ReconcileContext, key: string): Promise<Looked> {
  return await reconcile(context, sourcePart(context), key);
}

function sourcePart(context: ReconcileContext): RolePart<ReplicationSource> {
  return {
    role: "source",
    kind: REPLICATION_SOURCE,
    store: context.sources,
    volumes: {
      volume: (source, plan) => ensureSourceVolume(context, source, plan),
      cache: (source, plan) => ensureCache(context, source, "source", plan),
      identity: (owner, rights) =>
        inferIdentity(context, { owner, claim: owner.spec.sourcePVC ?? "", rights }),
      image: () => Promise.resolve({ ready: undefined }),
      cleanUp: (source, plan) => cleanUp(context, source, plan),
    },
    read: readReplicationSource,
    obstacle: async ({ metadata, spec }) => {
      const { namespace = "" } = metadata;
      const claim = context.stores.claims.get(namespace, spec.sourcePVC ?? "");
      if (claim === undefined) return undefined;
      const destinations = context.destinations.list(namespace);
      const [restore] = await restoresOf(context, claim, destinations);
      if (restore === undefined) return undefined;
      return {
        reason: "WaitingForRestore",
        message: `${restore.message}: a backup of it now would store half of it, and begins when that has ended.`,
      };
    },
    warning: () => undefined,
  };
}
