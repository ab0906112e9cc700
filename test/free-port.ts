// A port of this machine that nobody listens on, for servers that cannot choose one themselves. It lies below those that the
// system gives to whoever asks for any, so that nobody gets it by chance before the server takes it; and every process begins
// elsewhere.

import { createServer } from "node:net";

const FIRST = 10_000;
const COUNT = 20_000;
/** Neighbours in the list of processes are this far apart. */
const APART = 37;

let drawn = 0;

/** A free port of the loopback interface, another one each time. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = FIRST + ((process.pid * APART + drawn++) % COUNT);
    if (await isFree(port)) return port;
  }
  throw new Error(`100 ports from ${FIRST} on are all taken`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
