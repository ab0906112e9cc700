// A gate in front of a server: closed, it cuts what is open and refuses what comes, as a network does that is gone.

import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

export interface Gate {
  /** Where clients connect, on 127.0.0.1. */
  readonly port: number;
  close: () => Promise<void>;
  open: () => Promise<void>;
}

/** A gate that is open. Close it when done. */
export async function openGate(target: number): Promise<Gate> {
  const sockets = new Set<Socket>();
  const listen = async (port: number): Promise<Server> => {
    const server = createServer((client) => {
      const onward = connect({ port: target, host: "127.0.0.1" });
      for (const [one, other] of [
        [client, onward],
        [onward, client],
      ] as const) {
        sockets.add(one);
        one.on("error", () => other.destroy());
        one.on("close", () => {
          sockets.delete(one);
          other.destroy();
        });
      }
      client.pipe(onward).pipe(client);
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", resolve);
    });
    return server;
  };
  let server: Server | undefined = await listen(0);
  const { port } = server.address() as AddressInfo;
  return {
    port,
    close: async () => {
      const closing = server;
      server = undefined;
      const closed = new Promise<void>((resolve) => {
        if (closing) closing.close(() => resolve());
        else resolve();
      });
      for (const socket of sockets) socket.destroy();
      await closed;
    },
    open: async () => {
      server ??= await listen(port);
    },
  };
}
