// An Output whose two streams are kept as text, for the tests of src/cli.

import { Output } from "../../src/cli/output.ts";
import type { OutputOptions } from "../../src/cli/output.ts";

export interface RecordedOutput {
  readonly output: Output;
  /** What was written to stdout and stderr so far. */
  readonly stdout: () => string;
  readonly stderr: () => string;
}

/** An output that is not a terminal, with these options. */
export function recordOutput(options: Partial<OutputOptions> = {}): RecordedOutput {
  const written: [Buffer[], Buffer[]] = [[], []];
  const [stdout, stderr] = written.map((pieces) => ({
    write: (data: string | Uint8Array) => pieces.push(Buffer.from(data as Uint8Array)),
  }));
  const output = new Output({ stdout: stdout!, stderr: stderr!, ...options });
  const text = (pieces: Buffer[]): string => {
    output.flush();
    return Buffer.concat(pieces).toString();
  };
  return { output, stdout: () => text(written[0]), stderr: () => text(written[1]) };
}
