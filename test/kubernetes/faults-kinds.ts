// What goes wrong: each fault as something done to a world while a run is held in some state. Those that are mended later say how.

import { setImmediate as turn } from "node:timers/promises";
import { isHoldfastError } from "../../src/base/errors.ts";
import { POD, SECRET } from "../../src/operator/cluster/kinds.ts";
import { REPLICATION_DESTINATION } from "../../src/operator/resources/replication-destination.ts";
import { REPLICATION_SOURCE } from "../../src/operator/resources/replication-source.ts";
import type { ApiCall } from "./api-double/faults.ts";
import { NAME, NAMESPACE_NAME, putSecret, type FaultWorld } from "./fault-world.ts";

export interface FaultKindOfWorld {
  readonly name: string;
  strike(world: FaultWorld): Promise<void> | void;
  /** After the run was let go on. */
  mend?(world: FaultWorld): Promise<void> | void;
  /** The resource is gone afterwards. */
  readonly isEnd?: true;
  /** Who acts holds the lease. */
  readonly lease?: true;
}

const WRITES = ["create", "update", "patch", "delete"];

function isWrite({ verb, kind }: ApiCall): boolean {
  return WRITES.includes(verb) && kind !== "Event";
}

function holderIn({ body }: ApiCall): string {
  return (body as { spec?: { holderIdentity?: string } } | undefined)?.spec?.holderIdentity ?? "";
}

/** A change of the resource by somebody else, made until it is done: faults that are armed may meet it, too. */
export async function patchResource(world: FaultWorld, patch: object): Promise<void> {
  const kind = world.source() ? REPLICATION_SOURCE : REPLICATION_DESTINATION;
  const place = { namespace: NAMESPACE_NAME, name: NAME };
  for (;;) {
    try {
      await world.double.api().patch(kind, place, patch, { type: "merge" });
      return;
    } catch (error) {
      if (!isHoldfastError(error, "CLUSTER_UNREACHABLE", "CLUSTER_FAILED")) throw error;
    }
  }
}

/** The kubelet's node is gone, or somebody deleted the pod: the Job controller makes another. */
function loseMovers(world: FaultWorld, lose: (pod: string) => void): void {
  for (const mover of world.movers) {
    if (!mover.isOpen) continue;
    lose(mover.pod);
    mover.end({ exit: 137 });
  }
}

/** Watches of some kinds break, and the next ones say nothing until somebody gives them up. */
function hang(world: FaultWorld, of: (kind: string) => boolean): void {
  const stuck = new Set<string>();
  world.double.fault(
    ({ verb, kind }) => {
      // One for each kind: those after it are answered.
      const isStuck = verb === "watch" && of(kind) && !stuck.has(kind);
      if (isStuck) stuck.add(kind);
      return isStuck;
    },
    "hang",
    { times: 6 },
  );
  world.double.cutWatches();
}

export const FAULTS: readonly FaultKindOfWorld[] = [
  {
    name: "operator killed and begun anew",
    strike: (world) => {
      world.kill();
      world.begin();
    },
  },
  {
    name: "operator killed, begun anew an hour later",
    strike: async (world) => {
      world.kill();
      await world.clock.advance(3_600_000);
      world.begin();
    },
  },
  {
    name: "API server away",
    strike: async (world) => {
      await world.double.stop();
      for (let i = 0; i < 30; i++) {
        await turn();
        await world.clock.advance(1000);
      }
    },
    mend: async (world) => void (await world.double.start()),
  },
  {
    name: "503 for a while",
    strike: (world) =>
      void world.double.fault(() => true, { status: 503, retryAfter: 1 }, { times: 25 }),
  },
  {
    name: "answers of writes lost",
    strike: (world) => void world.double.fault(isWrite, "drop-after", { times: 3 }),
  },
  {
    name: "watches cut, history forgotten",
    strike: (world) => {
      world.double.cutWatches();
      world.double.compact();
    },
  },
  {
    // What the operator believes of the cluster is old until it gives the connections up.
    name: "watches hang",
    strike: (world) => hang(world, () => true),
  },
  {
    name: "the watch of resources hangs",
    strike: (world) => hang(world, (kind) => kind.startsWith("Replication")),
  },
  {
    name: "the watch of Jobs and pods hangs",
    strike: (world) => hang(world, (kind) => kind === "Job" || kind === "Pod"),
  },
  {
    name: "conflicts",
    strike: (world) =>
      void world.double.fault(
        ({ verb, subresource }) => verb === "update" && subresource === "status",
        {
          status: 409,
          message: "the object has been modified; please apply your changes to the latest version",
        },
        { times: 4 },
      ),
  },
  {
    name: "node lost",
    strike: (world) =>
      loseMovers(world, (pod) => {
        world.double.objects.update(POD, NAMESPACE_NAME, pod, (lost) => {
          lost.status = { ...lost.status, phase: "Failed", reason: "NodeLost" };
        });
      }),
  },
  {
    name: "pod deleted",
    strike: (world) =>
      loseMovers(world, (pod) => void world.double.objects.remove(POD, NAMESPACE_NAME, pod)),
  },
  { name: "Secret changed", strike: (world) => putSecret(world, "two") },
  {
    name: "Secret deleted, and applied again",
    strike: (world) => void world.double.objects.remove(SECRET, NAMESPACE_NAME, "restic-secret"),
    mend: async (world) => {
      await world.pass(30_000);
      putSecret(world, "one");
    },
  },
  {
    name: "spec changed",
    strike: (world) =>
      patchResource(world, { spec: { restic: { moverPodLabels: { changed: "yes" } } } }),
  },
  {
    name: "annotated by somebody, again and again",
    strike: async (world) => {
      for (let i = 0; i < 5; i++) {
        await patchResource(world, { metadata: { annotations: { "example.org/n": String(i) } } });
      }
    },
  },
  { name: "a second operator", strike: (world) => world.begin() },
  {
    // It cannot renew, nor give back; what it was in the middle of is carried out when another one leads.
    name: "lease lost",
    lease: true,
    strike: async (world) => {
      world.begin({ lease: true });
      const second = `operator-${world.begun}`;
      const isOfFirst = (call: ApiCall): boolean =>
        call.kind === "Lease" && isWrite(call) && !holderIn(call).startsWith(second);
      world.double.fault(isOfFirst, { status: 503 }, { times: Infinity });
      const isLed = (): boolean => world.logged.some((line) => line.includes(`: ${second}_`));
      await world.until("another leader", isLed);
    },
  },
  {
    name: "resource deleted",
    isEnd: true,
    strike: async (world) => {
      const kind = world.source() ? REPLICATION_SOURCE : REPLICATION_DESTINATION;
      await world.double.api().delete(kind, { namespace: NAMESPACE_NAME, name: NAME });
    },
  },
];
