// `pg`: a PostgreSQL server and its archive. Each verb is loaded when it is used: archiving starts a process for every
// segment.

import type { CommandFamily } from "../command.ts";

export const pgCommand: CommandFamily = {
  members: [],
};
