// What a drill is to do, and with what.

import type { RecoveryTarget } from "../../barman/recovery-target.ts";
import type { Clock, Random } from "../../base/clock.ts";
import type { Progress } from "../../base/progress.ts";
import type { Connection } from "../../postgres/connection.ts";
import type { Machine, Repository } from "../../repository/repository.ts";
import type { ScratchServerOptions } from "../scratch-database.ts";

export interface DrillOptions extends ScratchServerOptions {
  /** Which moment; `latest` becomes that of the marker where one can be written. */
  readonly target: RecoveryTarget;
  /** Opens a connection to the live server, for the marker; undefined when there is none to be asked. */
  readonly connectLive?: (() => Promise<Connection>) | undefined;
  /** The name of Odoo's database; the only one of the cluster without. */
  readonly database?: string | undefined;
  /** Where files come from; undefined drills the database alone. */
  readonly files?:
    | {
        readonly repository: Repository;
        readonly captures: Repository | undefined;
      }
    | undefined;
  /** Bytes of files to read; all of them without. */
  readonly sample?: number | undefined;
  /** `rotation` of the report before: where this sample goes on. */
  readonly after?: string | undefined;
  /** Leaves indexes and page checksums out, which take as long as reading the database. */
  readonly quick?: boolean;
  /** A command of the user's, for /bin/sh, and how many milliseconds it may take. */
  readonly command?:
    | {
        readonly text: string;
        readonly limit: number;
        readonly environment: Readonly<Record<string, string>>;
      }
    | undefined;
  /** Milliseconds to wait for the archive to have the marker, and for a capture after it. */
  readonly patience: { readonly archive: number; readonly capture: number };
  /** The folder to make the scratch place in. */
  readonly scratch: string;
  readonly machine: Machine;
  /** Name and version of the program, for the report. */
  readonly program: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal?: AbortSignal | undefined;
  /** Told when a step begins, with the counters of its progress where it has some. */
  readonly onStep?: (what: string, progress?: Progress) => void;
  /** Told what else is to be known, one sentence each. */
  readonly onNotice?: (text: string) => void;
  /** Takes every line of the scratch server's log. */
  readonly onLine?: (line: string) => void;
}
