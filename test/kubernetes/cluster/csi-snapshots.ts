// Snapshots of a test cluster's volumes: the part of external-snapshotter. The data is copied when the snapshot is bound; when it
// becomes ready, and whether it fails, is for the test to say.

import { rm } from "node:fs/promises";
import { join } from "node:path";
import type {
  KubeObject,
  PersistentVolumeClaim,
  VolumeSnapshot,
  VolumeSnapshotClass,
} from "../../../src/operator/cluster/kube-object.ts";
import type { ClusterLink } from "./cluster-link.ts";
import { KeyedWork } from "./keyed-work.ts";
import { copyTree, DRIVER } from "./volume-copy.ts";

export const SNAPSHOT_CLASS = "test-csi-snapshots";

export interface TestSnapshots {
  /** Snapshots are bound, and do not become ready until `release`: a slow driver. */
  hold(): void;
  release(): void;
  /** Snapshots fail with this message from now on; undefined: no longer. */
  fail(message: string | undefined): void;
  /** Directory of a ready snapshot's data. */
  directoryOf(namespace: string, name: string): Promise<string | undefined>;
}

const GROUP = "/apis/snapshot.storage.k8s.io/v1";
const PROTECTION = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection";
const DEFAULT_CLASS = "snapshot.storage.kubernetes.io/is-default-class";

interface SnapshotContent extends KubeObject {
  spec: { deletionPolicy: "Delete" | "Retain"; source: { volumeHandle?: string } };
}

/** Serves snapshots until `signal`; their data goes to `folder`. */
export async function startSnapshots(options: {
  readonly link: ClusterLink;
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly directoryOfVolume: (volume: string) => string;
}): Promise<TestSnapshots> {
  const { link, folder, signal, directoryOfVolume } = options;
  await link.apply(`${GROUP}/volumesnapshotclasses/${SNAPSHOT_CLASS}`, {
    apiVersion: "snapshot.storage.k8s.io/v1",
    kind: "VolumeSnapshotClass",
    metadata: { name: SNAPSHOT_CLASS, annotations: { [DEFAULT_CLASS]: "true" } },
    driver: DRIVER,
    deletionPolicy: "Delete",
  });
  const known = new Map<string, VolumeSnapshot>();
  let held = false;
  let failure: string | undefined;

  const status = (snapshot: VolumeSnapshot, change: VolumeSnapshot["status"]): Promise<unknown> =>
    link.patch(`${pathOf(snapshot)}/status`, { status: change });
  const broken = async (snapshot: VolumeSnapshot, message: string): Promise<void> => {
    if (snapshot.status?.error?.message === message) return;
    await status(snapshot, { readyToUse: false, error: { message, time: now() } });
  };

  const bind = async (snapshot: VolumeSnapshot): Promise<void> => {
    if (failure !== undefined) return broken(snapshot, failure);
    const chosen = await classOf(link, snapshot);
    if (chosen === undefined) {
      const named = snapshot.spec.volumeSnapshotClassName;
      const what =
        named === undefined
          ? "cannot find default snapshot class"
          : `volumesnapshotclass.snapshot.storage.k8s.io "${named}" not found`;
      return broken(snapshot, `Failed to get snapshot class with error ${what}`);
    }
    const { namespace = "", name, uid = "" } = snapshot.metadata;
    const source = snapshot.spec.source.persistentVolumeClaimName ?? "";
    const claim = await link.get<PersistentVolumeClaim>(
      `/api/v1/namespaces/${namespace}/persistentvolumeclaims/${source}`,
    );
    const volume = claim?.spec.volumeName;
    if (claim?.status?.phase !== "Bound" || volume === undefined) return;
    const content = `snapcontent-${uid}`;
    await link.patch(pathOf(snapshot), { metadata: { finalizers: [PROTECTION] } });
    // Once: what we hear of it may be older than what we did.
    if ((await link.get(`${GROUP}/volumesnapshotcontents/${content}`)) === undefined) {
      await copyTree(directoryOfVolume(volume), join(folder, content));
    }
    await link.apply(`${GROUP}/volumesnapshotcontents/${content}`, {
      apiVersion: "snapshot.storage.k8s.io/v1",
      kind: "VolumeSnapshotContent",
      metadata: { name: content },
      spec: {
        deletionPolicy: chosen.deletionPolicy ?? "Delete",
        driver: DRIVER,
        source: { volumeHandle: volume },
        volumeSnapshotClassName: chosen.metadata.name,
        volumeSnapshotRef: { kind: "VolumeSnapshot", namespace, name, uid },
      },
    });
    await status(snapshot, {
      boundVolumeSnapshotContentName: content,
      readyToUse: false,
      creationTime: now(),
      // The error of an attempt before.
      ...({ error: null } as object),
    });
  };

  const makeReady = async (snapshot: VolumeSnapshot): Promise<void> => {
    const content = await link.get<SnapshotContent>(
      `${GROUP}/volumesnapshotcontents/${snapshot.status?.boundVolumeSnapshotContentName ?? ""}`,
    );
    if (content === undefined) return broken(snapshot, "VolumeSnapshotContent is missing");
    const size = await sizeOf(link, content);
    await status(snapshot, {
      readyToUse: true,
      ...(size === undefined ? {} : { restoreSize: size }),
    });
  };

  const remove = async (snapshot: VolumeSnapshot): Promise<void> => {
    if (!(snapshot.metadata.finalizers ?? []).includes(PROTECTION)) return;
    const name = snapshot.status?.boundVolumeSnapshotContentName;
    const place = `${GROUP}/volumesnapshotcontents/${name}`;
    const content = name === undefined ? undefined : await link.get<SnapshotContent>(place);
    if (content?.spec.deletionPolicy === "Delete") {
      await rm(join(folder, content.metadata.name), { recursive: true, force: true });
      await link.delete(place);
    }
    const finalizers = (snapshot.metadata.finalizers ?? []).filter((each) => each !== PROTECTION);
    await link.patch(pathOf(snapshot), { metadata: { finalizers } });
  };

  const work = new KeyedWork(async (uid) => {
    const snapshot = known.get(uid);
    if (snapshot === undefined) return;
    const { metadata, status: told } = snapshot;
    if (metadata.deletionTimestamp !== undefined) await remove(snapshot);
    else if (told?.boundVolumeSnapshotContentName === undefined) await bind(snapshot);
    else if (!held && told.readyToUse !== true) await makeReady(snapshot);
  }, signal);
  link.follow<VolumeSnapshot>(`${GROUP}/volumesnapshots`, signal, (snapshot, gone) => {
    const { uid = "" } = snapshot.metadata;
    if (gone) return void known.delete(uid);
    known.set(uid, snapshot);
    work.ask(uid);
  });
  const again = (): void => {
    for (const uid of known.keys()) work.ask(uid);
  };
  // A snapshot of a claim that is not bound yet waits for it.
  link.follow("/api/v1/persistentvolumeclaims", signal, again);
  link.follow(`${GROUP}/volumesnapshotclasses`, signal, again);
  return {
    hold() {
      held = true;
    },
    release() {
      held = false;
      again();
    },
    fail(message) {
      failure = message;
      if (message === undefined) again();
    },
    async directoryOf(namespace, name) {
      const snapshot = await link.get<VolumeSnapshot>(
        `${GROUP}/namespaces/${namespace}/volumesnapshots/${name}`,
      );
      const content = snapshot?.status?.boundVolumeSnapshotContentName;
      if (snapshot?.status?.readyToUse !== true || content === undefined) return undefined;
      return join(folder, content);
    },
  };
}

async function classOf(
  link: ClusterLink,
  snapshot: VolumeSnapshot,
): Promise<VolumeSnapshotClass | undefined> {
  const place = `${GROUP}/volumesnapshotclasses`;
  const { volumeSnapshotClassName: name } = snapshot.spec;
  if (name !== undefined) return link.get<VolumeSnapshotClass>(`${place}/${name}`);
  const all = await link.list<VolumeSnapshotClass>(place);
  return all.find(
    ({ driver, metadata }) => driver === DRIVER && metadata.annotations?.[DEFAULT_CLASS] === "true",
  );
}

async function sizeOf(link: ClusterLink, content: SnapshotContent): Promise<string | undefined> {
  const volume = await link.get<KubeObject & { spec: { capacity?: Record<string, string> } }>(
    `/api/v1/persistentvolumes/${content.spec.source.volumeHandle ?? ""}`,
  );
  return volume?.spec.capacity?.["storage"];
}

function pathOf({ metadata }: VolumeSnapshot): string {
  return `${GROUP}/namespaces/${metadata.namespace}/volumesnapshots/${metadata.name}`;
}

function now(): string {
  return new Date().toISOString().replace(/\.\d+/, "");
}
