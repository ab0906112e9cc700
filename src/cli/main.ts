// The program: one run from argv to exit status. Everything of the process is taken here and passed on.

import { enableCompileCache } from "node:module";

// Compiled code is kept between runs: a mover starts often. Must come before the rest is loaded.
enableCompileCache();
const { runProgram } = await import("./program.ts");
process.exitCode = await runProgram(process.argv.slice(2));
