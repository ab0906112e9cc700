// What `copy` says, in restic's words; with --json a message for each snapshot and a summary, where restic has none.

import type { Clock } from "../base/clock.ts";
import type { CopyEvents, CopyResult } from "../repository/copy.ts";
import { formatBytes, shortId } from "./format.ts";
import type { Output } from "./output.ts";
import { describeSnapshot } from "./snapshot-table.ts";
import { StepProgress } from "./step-progress.ts";

export interface CopyReporterOptions {
  output: Output;
  clock: Clock;
  framesPerSecond: number;
}

/** Tells about a copy while it runs. */
export class CopyReporter {
  readonly #output: Output;
  readonly #steps: StepProgress;

  constructor(options: CopyReporterOptions) {
    this.#output = options.output;
    this.#steps = new StepProgress(options);
  }

  readonly events: CopyEvents = {
    skipped: ({ id, snapshot }, copy) => {
      this.#output.verbose(`\n${describeSnapshot(id, snapshot)}`);
      const was = `was already copied to snapshot ${shortId(copy)}`;
      this.#output.verbose(`skipping source snapshot ${shortId(id)}, ${was}`);
      this.#message({ message_type: "skipped", source_snapshot_id: id, snapshot_id: copy });
    },
    walking: ({ id, snapshot }) => {
      this.#output.print(`\n${describeSnapshot(id, snapshot)}`);
      this.#output.print("  copy started, this may take a while...");
    },
    walked: ({ blobs, bytes, packs }) => {
      const size = formatBytes(bytes);
      this.#output.verbose(`  copy ${blobs} blobs with disk size ${size} in ${packs} packfiles`);
    },
    damaged: ({ id }, why) => this.#output.warn(`snapshot ${shortId(id)} is not copied: ${why}`),
    copying: (packs) => this.#steps.begin([], "packs copied", packs),
    pack: () => this.#steps.done(1),
    saving: (count) => {
      this.#steps.end();
      if (count > 1) this.#output.print("");
    },
    saved: ({ id }, copy) => {
      const from = `copied from source snapshot ${shortId(id)}`;
      this.#output.print(`snapshot ${shortId(copy)} saved, ${from}`);
      this.#message({ message_type: "copied", source_snapshot_id: id, snapshot_id: copy });
    },
    unreadable: (_, error) => this.#output.warn(`${error.message}; trying without it`),
  };

  /** Runs `work`, and takes the display away however it goes. */
  async during(work: () => Promise<CopyResult>): Promise<CopyResult> {
    const result = await this.#steps.during(work);
    this.#message({
      message_type: "summary",
      snapshots_copied: result.copied,
      snapshots_skipped: result.skipped,
      snapshots_damaged: result.damaged,
      blobs_copied: result.blobs,
      bytes_stored: result.bytes,
    });
    return result;
  }

  #message(message: object): void {
    if (this.#output.isJson) this.#output.json(message);
  }
}
