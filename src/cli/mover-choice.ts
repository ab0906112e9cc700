// Which snapshot a mover restores: VolSync's rules (newest first, times cut to seconds, not after `restoreAsOf`, then so many
// skipped), asked of the right snapshots. VolSync takes any whose line has /data in it. Here those of the host `volsync` and the
// path `/data` come first, a snapshot that lacks files only where there is no other, and the volumes of a shared repository are
// told apart where their snapshots say whose they are. Pure.

import { parseTime } from "../restic/go-time.ts";
import type { FoundSnapshot } from "../repository/snapshots.ts";
import { SNAPSHOT_HOST, SNAPSHOT_PATH, TAG } from "../operator/mover-variables.ts";

export interface ChoiceRequest {
  /** Nanoseconds since 1970. */
  readonly asOf?: bigint | undefined;
  readonly previous: number;
  /** `namespace/name` of the claim that is restored into. */
  readonly claim?: string | undefined;
}

export interface Choice {
  /** Undefined: none is eligible. */
  readonly chosen: FoundSnapshot | undefined;
  /** None was of the host and path of movers. */
  readonly isForeign: boolean;
  /** Claims of several volumes among which the newest was taken: it may be the wrong one. Empty otherwise. */
  readonly claims: readonly string[];
  /** A newer one was passed over because it lacks files. */
  readonly passedOver: FoundSnapshot | undefined;
}

const SECOND = 1_000_000_000n;

/** Chooses among all snapshots of the repository. */
export function chooseSnapshot(all: readonly FoundSnapshot[], request: ChoiceRequest): Choice {
  const own = all.filter(
    ({ snapshot: { hostname, paths } }) =>
      hostname === SNAPSHOT_HOST && paths.length === 1 && paths[0] === SNAPSHOT_PATH,
  );
  const isForeign = own.length === 0;
  const alike = isForeign
    ? all.filter(({ snapshot }) => snapshot.paths.some((path) => path.includes(SNAPSHOT_PATH)))
    : own;
  const claims = [...new Set(alike.map(claimOf).filter((claim) => claim !== undefined))].sort();
  const isClear =
    claims.length <= 1 || (request.claim !== undefined && claims.includes(request.claim));
  const ours =
    claims.length > 1 && isClear
      ? alike.filter((each) => [undefined, request.claim].includes(claimOf(each)))
      : alike;
  const eligible = ours
    .filter(
      ({ snapshot }) =>
        request.asOf === undefined || second(snapshot.time) <= request.asOf / SECOND,
    )
    .sort((a, b) => (parseTime(a.snapshot.time) < parseTime(b.snapshot.time) ? 1 : -1));
  const complete = eligible.filter(({ snapshot }) => !snapshot.tags.includes(TAG.incomplete));
  const candidates = onePerSecond(complete.length > 0 ? complete : eligible);
  const chosen = candidates[request.previous];
  const [newest] = eligible;
  const isPassedOver = request.previous === 0 && chosen !== undefined && newest !== chosen;
  const passedOver =
    isPassedOver && newest?.snapshot.tags.includes(TAG.incomplete) ? newest : undefined;
  return {
    chosen,
    isForeign: isForeign && chosen !== undefined,
    claims: isClear ? [] : claims,
    passedOver,
  };
}

/** `namespace/name` of the claim that a snapshot is of, where it says so. */
export function claimOf({ snapshot }: FoundSnapshot): string | undefined {
  return tagValue(snapshot.tags, TAG.claim);
}

/** Whether it may be of the volume of `claim`: only one that says so is another's. Without a claim all are. */
export function mayBeOf(found: FoundSnapshot, claim: string | undefined): boolean {
  const whose = claimOf(found);
  return claim === undefined || whose === undefined || whose === claim;
}

/** What follows `prefix` in the first tag that has it. */
export function tagValue(tags: readonly string[], prefix: string): string | undefined {
  return tags.find((tag) => tag.startsWith(prefix))?.slice(prefix.length);
}

/** Of several in one second the first, which is the newest: VolSync sees no more than one. */
function onePerSecond(found: readonly FoundSnapshot[]): FoundSnapshot[] {
  return found.filter(
    ({ snapshot }, i) => i === 0 || second(found[i - 1]!.snapshot.time) !== second(snapshot.time),
  );
}

function second(time: string): bigint {
  return parseTime(time) / SECOND;
}
