// What the operator and its movers agree on: variables, the container's name and the exit statuses. VolSync's names are facts
// that users' own tools look for; ours begin with HOLDFAST_.

/** The one container of a mover's pod: as VolSync names it. */
export const MOVER_CONTAINER = "restic";

/** Variables that the operator sets, whatever the Secret holds. */
export const VARIABLE = {
  /** `--keep-daily 7 …`; a Secret cannot set it. */
  forgetOptions: "FORGET_OPTIONS",
  dataFolder: "DATA_DIR",
  cacheFolder: "RESTIC_CACHE_DIR",
  /** RFC 3339: the newest snapshot not after it. */
  restoreAsOf: "RESTORE_AS_OF",
  /** How many snapshots before that one. */
  selectPrevious: "SELECT_PREVIOUS",
  /** Options of restic's restore: `--delete` alone. */
  restoreOptions: "RESTORE_OPTIONS",
  /** `1` for a mover that runs as root with capabilities. */
  privileged: "PRIVILEGED_MOVER",
  /** File with certificates of authorities. */
  customCa: "CUSTOM_CA",
  /** How it was found who the mover is: one of IDENTITY. */
  identity: "HOLDFAST_IDENTITY",
  /** `1`: movers of the namespace may be root, without capabilities. */
  rootAllowed: "HOLDFAST_ROOT_ALLOWED",
  /** `1`: wait before working until a file is removed. */
  debug: "DEBUG_MOVER",
  /** RunPlan.id. */
  run: "HOLDFAST_RUN",
  /** `compat` or `safe`. */
  mode: "HOLDFAST_MODE",
  /** `namespace/name` of the claim that is backed up or restored into. */
  claim: "HOLDFAST_CLAIM",
  /** Its UID. */
  claimUid: "HOLDFAST_CLAIM_UID",
  /** RFC 3339: when what is backed up was as it is. */
  pointInTime: "HOLDFAST_POINT_IN_TIME",
  /** Host names of locks, joined by commas, whose pods are proved dead. */
  deadOwners: "HOLDFAST_DEAD_OWNERS",
  /** Any value: the source may be much smaller than before. */
  acceptShrink: "HOLDFAST_ACCEPT_SHRINK",
  /** `1`: leave out cache directories (CACHEDIR.TAG). */
  excludeCaches: "HOLDFAST_EXCLUDE_CACHES",
  /** A duration: how long to wait for a lock of somebody else. */
  lockWait: "HOLDFAST_LOCK_WAIT",
  /** File for the verdict, in place of /dev/termination-log. */
  terminationLog: "HOLDFAST_TERMINATION_LOG",
  /** What `mover log` prints. */
  log: "HOLDFAST_LOG",
  /** The verdict that `mover log` prints last. */
  verdict: "HOLDFAST_VERDICT",
} as const;

/** How it was found who a mover is. */
export const IDENTITY = {
  /** The resource says it, or the namespace. */
  given: "given",
  /** As the application is. */
  application: "application",
  /** Nothing says it, so the mover is the image's user. */
  unknown: "unknown",
  /** The application begins as root, and so does the mover. */
  root: "root",
  /** The application begins as root, and the mover may not. */
  unprivileged: "unprivileged",
  /** As the owner of the files, whom a mover found. */
  owner: "owner",
} as const;

export type IdentityKind = (typeof IDENTITY)[keyof typeof IDENTITY];

/** Those that are a guess: the files know better. */
export const GUESSED: ReadonlySet<string> = new Set([
  IDENTITY.unknown,
  IDENTITY.root,
  IDENTITY.unprivileged,
]);

/** Exit statuses of movers: those of sysexits.h for a passing and for a lasting fault. */
export const MOVER_EXIT = {
  ok: 0,
  /** The Job may try again by itself. */
  again: 75,
  /** The Job ends: only the operator, or a person, can do something about it. */
  ended: 78,
} as const;

/** Where things are in a mover's pod. */
export const PLACE = {
  data: "/data",
  cache: "/cache",
  temporary: "/tmp",
  credentials: "/credentials",
  googleCredentials: "/credentials/gcs.json",
  customCa: "/customCA/ca.crt",
  /** moverVolumes are below it. */
  mounts: "/mnt",
  terminationLog: "/dev/termination-log",
  /** A debugged mover waits until it is gone. */
  debugFile: "/tmp/exit-debug-if-removed",
} as const;

/** What all movers record: the host and the path of snapshots. */
export const SNAPSHOT_HOST = "volsync";
export const SNAPSHOT_PATH = "/data";

/** Tags of snapshots. None of them changes what restic or VolSync group by. */
export const TAG = {
  /** Followed by `namespace/name` of the claim. */
  claim: "holdfast.dev/claim=",
  /** Followed by its UID. */
  claimUid: "holdfast.dev/claim-uid=",
  /** Followed by an RFC 3339 time: when what is in it was as it is. */
  pointInTime: "holdfast.dev/point-in-time=",
  /** Files could not be read: it does not stand for the whole source. */
  incomplete: "incomplete",
  /** Much smaller than the newest one without this tag, and not accepted: nothing goes while the newest one has it. */
  shrunk: "shrunk",
} as const;
