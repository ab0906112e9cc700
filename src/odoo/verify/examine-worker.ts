// A thread that looks at files of a filestore, a batch at a time (src/odoo/verify/examine-threads.ts).

import { parentPort } from "node:worker_threads";
import { messageOf } from "../../base/errors.ts";
import { examineContent, examineSize, type Condition, type Examined } from "./examine-file.ts";

export interface ExamineRequest {
  readonly files: readonly Examined[];
  /** Sizes alone. */
  readonly namesOnly: boolean;
}

export type ExamineReply =
  | { readonly conditions: readonly Condition[] }
  | { readonly failed: string };

const port = parentPort!;
const buffer = new Uint8Array(1 << 20);

port.on("message", ({ files, namesOnly }: ExamineRequest) => {
  let reply: ExamineReply;
  try {
    reply = {
      conditions: files.map((file) =>
        namesOnly ? examineSize(file) : examineContent(file, buffer),
      ),
    };
  } catch (error) {
    reply = { failed: messageOf(error) };
  }
  port.postMessage(reply);
});
