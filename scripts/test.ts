// `npm test`: every test there is, from the units beside the code to the real peers. Arguments go to `node --test`
// after the files, so `npm test -- --test-name-pattern=lock` works; arguments that name files replace the default.

import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";

const FILES = ["src", "test", "bench", "scripts"].map((folder) => `${folder}/**/*.test.ts`);

const given = process.argv.slice(2);
const files = given.filter((argument) => !argument.startsWith("-"));
const flags = given.filter((argument) => argument.startsWith("-"));

const { status, signal } = spawnSync(
  process.execPath,
  [
    "--disable-warning=ExperimentalWarning",
    "--test",
    `--test-concurrency=${availableParallelism()}`,
    ...flags,
    ...(files.length > 0 ? files : FILES),
  ],
  { stdio: "inherit" },
);
process.exitCode = status ?? (signal ? 1 : 0);
