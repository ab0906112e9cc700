// A socket in a folder that shows that somebody is at work there: it dies with its process, also where all processes have the
// number 1, as in containers. Nothing is ever said over it.

import { connect, createServer, type Server } from "node:net";

/** Listens at `path`, and keeps no process alive for it. Rejects with the system's error: EADDRINUSE where a socket is left. */
export function listenAt(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", reject);
    server.listen(path, () => {
      server.unref();
      resolve(server);
    });
  });
}

/** True when somebody listens at the socket. */
export function answersAt(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
