// A container of a test cluster: a process of this machine in namespaces of its own, with the root file system that its pod asks
// for. Nothing of the machine can be written from within but the volumes that are mounted. Needs root.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import type { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { dirname, join } from "node:path";

const REPOSITORY = join(import.meta.dirname, "..", "..", "..");

export interface Mount {
  /** A directory or file of this machine. */
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

export interface ContainerPlan {
  /** Folder for its root and files; must exist. */
  readonly folder: string;
  readonly hostname: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  readonly mounts: readonly Mount[];
  readonly user: number;
  readonly group: number;
  readonly groups: readonly number[];
  /** Capabilities that remain, in lower case without `cap_`; undefined: those a container usually has. */
  readonly capabilities: readonly string[];
  readonly noNewPrivileges: boolean;
  readonly readOnlyRoot: boolean;
  readonly terminationMessagePath: string;
}

export interface ContainerProcess {
  /** Exit status, and the signal that ended it. */
  readonly exited: Promise<{ code: number; signal?: string | undefined }>;
  /** Path of the file with what it prints. */
  readonly log: string;
  /** Sends a signal to its first process. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** What it left in its termination message file. */
  terminationMessage(): Promise<string>;
}

/** What a container may do at most, when its pod drops nothing. */
export const USUAL_CAPABILITIES: readonly string[] = [
  "chown",
  "dac_override",
  "fowner",
  "fsetid",
  "kill",
  "setgid",
  "setuid",
  "setpcap",
  "net_bind_service",
  "sys_chroot",
  "mknod",
  "audit_write",
  "setfcap",
];

/** Starts it. */
export async function startContainer(plan: ContainerPlan): Promise<ContainerProcess> {
  const { folder } = plan;
  const root = join(folder, "root");
  const message = join(folder, "termination-log");
  const log = join(folder, "log");
  await mkdir(root, { recursive: true });
  await writeFile(message, "");
  await chmod(message, 0o666);
  await writeFile(join(folder, "start.sh"), script(plan, root, message));
  const output = createWriteStream(log);
  const isolated = ["--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"];
  const child = spawn(
    "setpriv",
    ["--pdeathsig", "KILL", "--", "unshare", ...isolated, "sh", join(folder, "start.sh")],
    { stdio: ["ignore", "pipe", "pipe", "pipe"], env: {} },
  );
  child.stdout?.pipe(output, { end: false });
  child.stderr?.pipe(output, { end: false });
  let over = false;
  const exited = new Promise<{ code: number; signal?: string | undefined }>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      over = true;
      output.end();
      const status = code ?? 128 + signalNumber(signal);
      void finished(output).finally(() =>
        resolve(signal === null ? { code: status } : { code: status, signal }),
      );
    });
  });
  // A word comes when all is mounted, and the command about to run: signals before that would be lost.
  const started = child.stdio[3] as Readable;
  await Promise.race([once(started, "data"), exited]);
  return {
    exited,
    log,
    async kill(signal) {
      if (over || child.pid === undefined) return;
      const path = `/proc/${child.pid}/task/${child.pid}/children`;
      const [first] = (await readFile(path, "utf8").catch(() => "")).trim().split(/\s+/);
      try {
        if (first) process.kill(Number(first), signal);
        else if (signal === "SIGKILL") child.kill(signal);
      } catch {
        // It has just ended.
      }
    },
    terminationMessage: async () => (await readFile(message, "utf8")).slice(0, 4096),
  };
}

/** Where programs of the machine are. */
const PATH = "/opt/holdfast/bin:/usr/local/bin:/usr/bin:/bin";

/** The shell script that makes the root and becomes the container's process. */
function script(plan: ContainerPlan, root: string, message: string): string {
  const lines = [
    "set -e",
    "mount --make-rprivate /",
    `hostname ${quote(plan.hostname)}`,
    `mount -t tmpfs -o mode=755 root ${quote(root)}`,
    `cd ${quote(root)}`,
    "mkdir -p usr etc proc sys dev tmp run var/tmp opt/holdfast root",
    "chmod 1777 tmp var/tmp",
    "for link in bin sbin lib lib32 lib64 libx32; do",
    '  if [ -h "/$link" ]; then cp -P "/$link" "$link"; elif [ -d "/$link" ]; then mkdir "$link"; mount --bind -o ro "/$link" "$link"; fi',
    "done",
    "for tree in usr etc; do mount --bind /$tree $tree; mount -o remount,bind,ro $tree; done",
    `mount --bind ${quote(REPOSITORY)} opt/holdfast`,
    "mount -o remount,bind,ro opt/holdfast",
    "mount -t proc proc proc",
    "mount -t tmpfs -o mode=755 dev dev",
    "mkdir dev/shm; chmod 1777 dev/shm",
    "for device in null zero full random urandom tty; do touch dev/$device; mount --bind /dev/$device dev/$device; done",
    "ln -s /proc/self/fd dev/fd; ln -s fd/0 dev/stdin; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr",
    ...bind({ source: message, target: plan.terminationMessagePath, readOnly: false }, false),
    ...plan.mounts
      .toSorted((a, b) => a.target.split("/").length - b.target.split("/").length)
      .flatMap((mount) => bind(mount, true)),
    ...(plan.readOnlyRoot ? ["mount -o remount,ro ."] : []),
    "echo started >&3; exec 3>&-",
    `exec env -i ${Object.entries({ PATH, HOME: "/", HOSTNAME: plan.hostname, ...plan.environment })
      .map(([name, value]) => quote(`${name}=${value}`))
      .join(
        " ",
      )} /usr/sbin/chroot . setpriv ${privileges(plan)} -- ${BECOME} ${quote(plan.workingDirectory)} ${plan.command.map(quote).join(" ")}`,
  ];
  return `${lines.join("\n")}\n`;
}

/** Goes to the working directory, then becomes the command. */
const BECOME = `sh -c 'cd "$0" && exec "$@"'`;

function privileges(plan: ContainerPlan): string {
  const kept = plan.capabilities.map((name) => `,+${name}`).join("");
  return [
    `--reuid ${plan.user} --regid ${plan.group}`,
    plan.groups.length > 0 ? `--groups ${plan.groups.join(",")}` : "--clear-groups",
    `--inh-caps=-all --bounding-set=-all${kept}`,
    plan.noNewPrivileges ? "--no-new-privs" : "",
    "--pdeathsig KILL",
  ].join(" ");
}

function bind({ source, target, readOnly }: Mount, isDirectory: boolean): string[] {
  const place = quote(`.${target}`);
  const make = isDirectory
    ? `if [ -d ${quote(source)} ]; then mkdir -p ${place}; else mkdir -p ${quote(`.${dirname(target)}`)}; touch ${place}; fi`
    : `mkdir -p ${quote(`.${dirname(target)}`)}; touch ${place}`;
  return [
    make,
    `mount --bind ${quote(source)} ${place}`,
    ...(readOnly ? [`mount -o remount,bind,ro ${place}`] : []),
  ];
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function signalNumber(signal: NodeJS.Signals | null): number {
  return (
    { SIGKILL: 9, SIGTERM: 15, SIGINT: 2, SIGHUP: 1, SIGSEGV: 11, SIGABRT: 6 }[signal as string] ??
    0
  );
}
