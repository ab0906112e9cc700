// The thread that lists directories ahead of a backup's walk: names, and what lstat says of each.

import { parentPort, workerData } from "node:worker_threads";
import { errnoOf, messageOf } from "../base/errors.ts";
import { EntryTable, joinPath, readDirectoryNames } from "./entry-table.ts";
import type { ListingReply, ListingRequest } from "./listing-messages.ts";

const port = parentPort!;
const { withAtime } = workerData as { withAtime: boolean };

port.on("message", ({ number, path }: ListingRequest) => {
  const failures: ListingReply["failures"] = [];
  const fail = (name: string, error: unknown): void => {
    failures.push({ name, code: errnoOf(error) ?? "", message: messageOf(error) });
  };
  let names: string[] = [];
  try {
    names = readDirectoryNames(path);
  } catch (error) {
    fail("", error);
  }
  const table = new EntryTable(names.length);
  for (const name of names) {
    try {
      table.addFrom(name, joinPath(path, name), withAtime);
    } catch (error) {
      fail(name, error);
    }
  }
  const found = table.names.join("/");
  const packed = table.takePacked();
  const reply: ListingReply = { number, names: found, packed, failures };
  port.postMessage(reply, [packed]);
});
