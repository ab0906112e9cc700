// Go's os.FileMode, which trees store, to and from st_mode of Unix (docs/formats/restic.md#modes).

const PERMISSIONS = 0o777;

/** Type and special bits of os.FileMode. */
export const GO_MODE: {
  readonly directory: number;
  readonly symlink: number;
  readonly device: number;
  readonly fifo: number;
  readonly socket: number;
  readonly setuid: number;
  readonly setgid: number;
  readonly characterDevice: number;
  readonly sticky: number;
  readonly irregular: number;
} = {
  directory: 2 ** 31,
  symlink: 1 << 27,
  device: 1 << 26,
  fifo: 1 << 25,
  socket: 1 << 24,
  setuid: 1 << 23,
  setgid: 1 << 22,
  characterDevice: 1 << 21,
  sticky: 1 << 20,
  irregular: 1 << 19,
};

/** All bits of os.FileMode that say what type a node is. */
export const GO_MODE_TYPE: number =
  (GO_MODE.directory |
    GO_MODE.symlink |
    GO_MODE.device |
    GO_MODE.fifo |
    GO_MODE.socket |
    GO_MODE.characterDevice |
    GO_MODE.irregular) >>>
  0;

const UNIX_TYPE = 0o170000;

/** [S_IFMT value, os.FileMode bits]; a regular file has no bit. */
const TYPES: readonly (readonly [unix: number, go: number])[] = [
  [0o100000, 0],
  [0o040000, GO_MODE.directory],
  [0o120000, GO_MODE.symlink],
  [0o060000, GO_MODE.device],
  [0o020000, GO_MODE.device | GO_MODE.characterDevice],
  [0o010000, GO_MODE.fifo],
  [0o140000, GO_MODE.socket],
];

/** os.FileMode of an st_mode; an unknown type is irregular. */
export function toGoMode(stMode: number): number {
  const type = TYPES.find(([unix]) => unix === (stMode & UNIX_TYPE));
  let mode = (stMode & PERMISSIONS) | (type === undefined ? GO_MODE.irregular : type[1]);
  if (stMode & 0o4000) mode |= GO_MODE.setuid;
  if (stMode & 0o2000) mode |= GO_MODE.setgid;
  if (stMode & 0o1000) mode |= GO_MODE.sticky;
  return mode >>> 0;
}

/** st_mode of an os.FileMode; the type bits are 0 for an irregular node. */
export function toUnixMode(goMode: number): number {
  const goType = (goMode & GO_MODE_TYPE) >>> 0;
  const type = TYPES.find(([, go]) => go === goType);
  let mode = (goMode & PERMISSIONS) | (type === undefined ? 0 : type[0]);
  if (goMode & GO_MODE.setuid) mode |= 0o4000;
  if (goMode & GO_MODE.setgid) mode |= 0o2000;
  if (goMode & GO_MODE.sticky) mode |= 0o1000;
  return mode;
}
