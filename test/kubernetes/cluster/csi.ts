// Storage of a test cluster: volumes are directories, made by a provisioner that acts on claims as CSI's external-provisioner
// does, with clones and volumes from snapshots. Snapshots themselves are in csi-snapshots.ts.

import { chmod, mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  StorageClass,
  VolumeSnapshot,
} from "../../../src/operator/cluster/kube-object.ts";
import type { ClusterLink } from "./cluster-link.ts";
import { startSnapshots, type TestSnapshots } from "./csi-snapshots.ts";
import { KeyedWork } from "./keyed-work.ts";
import { copyTree, DRIVER } from "./volume-copy.ts";

/** Binds at once, and is the default. */
export const CLASS_IMMEDIATE = "test-csi";
/** Waits until a pod wants it. */
export const CLASS_WAIT = "test-csi-wait";

export interface TestStorage {
  readonly snapshots: TestSnapshots;
  /** The directory of a bound claim's volume. Undefined when it has none. */
  directoryOf(namespace: string, claim: string): Promise<string | undefined>;
  /** Directory of the volume that a claim is bound to by name. */
  directoryOfVolume(volume: string): string;
  /** No volume is made until `release`. */
  hold(): void;
  release(): void;
}

const CLASSES = "/apis/storage.k8s.io/v1/storageclasses";

/** Serves claims until `signal`; directories are made in `folder`. */
export async function startStorage(
  link: ClusterLink,
  folder: string,
  signal: AbortSignal,
): Promise<TestStorage> {
  await mkdir(folder, { recursive: true });
  for (const [name, volumeBindingMode, isDefault] of [
    [CLASS_IMMEDIATE, "Immediate", "true"],
    [CLASS_WAIT, "WaitForFirstConsumer", "false"],
  ] as const) {
    await link.apply(`${CLASSES}/${name}`, {
      apiVersion: "storage.k8s.io/v1",
      kind: "StorageClass",
      metadata: {
        name,
        annotations: { "storageclass.kubernetes.io/is-default-class": isDefault },
      },
      provisioner: DRIVER,
      volumeBindingMode,
      reclaimPolicy: "Delete",
      allowVolumeExpansion: true,
    });
  }
  const directoryOfVolume = (volume: string): string => join(folder, volume);
  const snapshots = await startSnapshots({ link, folder, signal, directoryOfVolume });

  const claims = new Map<string, PersistentVolumeClaim>();
  let held = false;
  const provision = async (uid: string): Promise<void> => {
    const claim = claims.get(uid);
    if (held || claim === undefined || !(await isOurs(link, claim))) return;
    const volume = `pvc-${uid}`;
    if ((await link.get(`/api/v1/persistentvolumes/${volume}`)) !== undefined) return;
    const directory = join(folder, volume);
    if (!(await fill(link, claim, directory, snapshots, directoryOfVolume))) return;
    await link.create("/api/v1/persistentvolumes", volumeFor(claim, volume));
  };
  const work = new KeyedWork(provision, signal);
  const look = (): void => {
    for (const uid of claims.keys()) work.ask(uid);
  };
  link.follow<PersistentVolumeClaim>("/api/v1/persistentvolumeclaims", signal, (claim, gone) => {
    const { uid = "" } = claim.metadata;
    if (gone || claim.status?.phase !== "Pending") claims.delete(uid);
    else claims.set(uid, claim);
    // A claim that got its volume may be what another is cloned from.
    look();
  });
  // A snapshot that became ready lets claims go on.
  link.follow<VolumeSnapshot>("/apis/snapshot.storage.k8s.io/v1/volumesnapshots", signal, look);
  const removal = new KeyedWork(async (name) => {
    await rm(join(folder, name), { recursive: true, force: true });
    await link.delete(`/api/v1/persistentvolumes/${name}`);
  }, signal);
  link.follow<PersistentVolume>("/api/v1/persistentvolumes", signal, (volume, gone) => {
    const over = volume.status?.phase === "Released" && policyOf(volume) === "Delete";
    if (over && !gone) removal.ask(volume.metadata.name);
  });
  return {
    snapshots,
    directoryOfVolume,
    async directoryOf(namespace, name) {
      const claim = await link.get<PersistentVolumeClaim>(
        `/api/v1/namespaces/${namespace}/persistentvolumeclaims/${name}`,
      );
      const volume = claim?.spec.volumeName;
      return claim?.status?.phase === "Bound" && volume ? directoryOfVolume(volume) : undefined;
    },
    hold() {
      held = true;
    },
    release() {
      held = false;
      look();
    },
  };
}

/** Whether it is for us to make the claim's volume, and now. */
async function isOurs(link: ClusterLink, claim: PersistentVolumeClaim): Promise<boolean> {
  const { annotations = {}, deletionTimestamp } = claim.metadata;
  const { volumeName, storageClassName = "", dataSourceRef } = claim.spec;
  if (deletionTimestamp !== undefined || volumeName) return false;
  if (annotations["volume.kubernetes.io/storage-provisioner"] !== DRIVER) return false;
  // Whoever populates it makes another claim for that.
  const group = dataSourceRef?.apiGroup ?? "";
  if (group !== "" && group !== "snapshot.storage.k8s.io") return false;
  const storageClass = await link.get<StorageClass>(`${CLASSES}/${storageClassName}`);
  if (storageClass?.volumeBindingMode !== "WaitForFirstConsumer") return true;
  return annotations["volume.kubernetes.io/selected-node"] !== undefined;
}

/** Makes the volume's directory with what the claim asks to be in it. False when that is not there yet. */
async function fill(
  link: ClusterLink,
  claim: PersistentVolumeClaim,
  directory: string,
  snapshots: TestSnapshots,
  directoryOfVolume: (volume: string) => string,
): Promise<boolean> {
  const source = claim.spec.dataSourceRef ?? claim.spec.dataSource;
  const namespace = claim.metadata.namespace ?? "";
  if (source === undefined) {
    await mkdir(join(directory, "lost+found"), { recursive: true });
    await chmod(join(directory, "lost+found"), 0o700);
    await chmod(directory, 0o755);
    return true;
  }
  let from: string | undefined;
  if (source.kind === "VolumeSnapshot") {
    from = await snapshots.directoryOf(namespace, source.name);
  } else {
    const path = `/api/v1/namespaces/${namespace}/persistentvolumeclaims/${source.name}`;
    const original = await link.get<PersistentVolumeClaim>(path);
    if (original?.status?.phase === "Bound")
      from = directoryOfVolume(original.spec.volumeName ?? "");
  }
  if (from === undefined || !(await exists(from))) return false;
  await copyTree(from, directory);
  return true;
}

function volumeFor(claim: PersistentVolumeClaim, name: string): unknown {
  const { namespace, name: claimName, uid, resourceVersion } = claim.metadata;
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name, annotations: { "pv.kubernetes.io/provisioned-by": DRIVER } },
    spec: {
      accessModes: claim.spec.accessModes,
      capacity: { storage: claim.spec.resources?.requests?.["storage"] },
      storageClassName: claim.spec.storageClassName,
      persistentVolumeReclaimPolicy: "Delete",
      volumeMode: "Filesystem",
      csi: { driver: DRIVER, volumeHandle: name, fsType: "ext4" },
      claimRef: {
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        namespace,
        name: claimName,
        uid,
        resourceVersion,
      },
    },
  };
}

function policyOf(volume: PersistentVolume): unknown {
  return volume.spec["persistentVolumeReclaimPolicy"];
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
