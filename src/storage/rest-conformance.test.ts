// The storage contract on a real rest-server, of both versions of the protocol, and on a socket. Its check of hashes
// against names is off: the suite stores what it likes under a name.

import { after, before, describe } from "node:test";
import { startProxy } from "../../test/rest/proxy.ts";
import type { Proxy } from "../../test/rest/proxy.ts";
import { backendContext } from "../../test/backend-context.ts";
import { peer } from "../../test/peers.ts";
import { underAnyName } from "../../test/rest/restic-names.ts";
import { startRestServer } from "../../test/rest/server.ts";
import type { RestServer } from "../../test/rest/server.ts";
import { storageConformance } from "./conformance.ts";
import type { Open } from "./conformance/expectations.ts";
import { openRestStorage } from "./rest.ts";
import { restFromLocation } from "./rest/settings.ts";
import type { Storage } from "./storage.ts";

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
