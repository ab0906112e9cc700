// A port of this machine that nobody listens on, for servers that cannot choose one themselves.

import { createServer } from "node:net";
import type { AddressInfo } from "node:net";

/** A free port of the loopback interface. Another program may take it before the caller does. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
