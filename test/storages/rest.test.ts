// The storage contract on a real rest-server, of both versions of the protocol, and on a socket. Its check of hashes
// against names is off: the suite stores what it likes under a name.

import { after, before, describe } from "node:test";
import { startProxy } from "../rest/proxy.ts";
import type { Proxy } from "../rest/proxy.ts";
import { backendContext } from "../backend-context.ts";
import { peer } from "../peers.ts";
import { underAnyName } from "../rest/restic-names.ts";
import { startRestServer } from "../rest/server.ts";
import type { RestServer } from "../rest/server.ts";
import { storageConformance } from "../../src/storage/conformance.ts";
import type { Open } from "../../src/storage/conformance/expectations.ts";
import { openRestStorage } from "../../src/storage/rest.ts";
import { restFromLocation } from "../../src/storage/rest/settings.ts";
import type { Storage } from "../../src/storage/storage.ts";

let repositories = 0;

function openBelow(location: (path: string) => string): Open {
  return async () => {
    const target = location(`/repository-${repositories++}/`);
    const names = new Map<string, string>();
    const open = async (create: boolean): Promise<Storage> => {
      const context = backendContext({ create });
      return underAnyName(await openRestStorage(restFromLocation(target, context), context), names);
    };
    return { storage: await open(true), cleanup: async () => {}, reopen: () => open(false) };
  };
}

describe("rest-server", { skip: peer("rest-server").skip }, () => {
  const limits = { listCount: 1100, uploads: false };
  let server: RestServer;
  let onSocket: RestServer;
  let old: Proxy;
  before(async () => {
    server = await startRestServer({ args: ["--no-verify-upload"] });
    onSocket = await startRestServer({ args: ["--no-verify-upload"], socket: true });
    old = await startProxy(server.listen, ({ accept: _, ...headers }) => headers);
  });
  after(async () => {
    await old.close();
    await server.close();
    await onSocket.close();
  });
  storageConformance(
    "rest",
    openBelow((path) => server.location(path)),
    limits,
  );
  storageConformance(
    "rest on a socket",
    openBelow((path) => onSocket.location(path)),
    limits,
  );
  storageConformance(
    "rest of version 1",
    openBelow((path) => `http://${old.listen}${path}`),
    limits,
  );
});
