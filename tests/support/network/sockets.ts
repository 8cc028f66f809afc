// Shared by the fake server and the proxy: listening on a free port of this machine, and closing every socket at the
// end.

import { createServer, type Server, type Socket } from "node:net";

/** A listening socket and all the connections it took. */
export class Listener implements AsyncDisposable {
  readonly host = "127.0.0.1";
  readonly port: number;
  /** The connections that are open. */
  readonly sockets: Set<Socket>;
  #server: Server;
  #stopped: Promise<void> | undefined;

  private constructor(server: Server, sockets: Set<Socket>, port: number) {
    this.#server = server;
    this.sockets = sockets;
    this.port = port;
  }

  /** Listens; a socket's errors end that socket and nothing else. */
  static async open(onSocket: (socket: Socket) => void): Promise<Listener> {
    const sockets = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.once("close", () => sockets.delete(socket));
      onSocket(socket);
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: "127.0.0.1", port: 0 }, () => resolve());
    });
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("Cannot listen: no port was given");
    return new Listener(server, sockets, address.port);
  }

  /** Destroys every connection and stops listening; resolves when all are closed. */
  stop(): Promise<void> {
    return this.#stopped ??= this.#stop();
  }

  async #stop(): Promise<void> {
    const listening = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await Promise.all([...this.sockets].map(destroy));
    await listening;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** Destroys a socket; resolves when it is closed. */
export async function destroy(socket: Socket): Promise<void> {
  if (socket.closed) return;
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.destroy();
  await closed;
}

/** A port of this machine on which no server listens. */
export async function closedPort(): Promise<number> {
  await using listener = await Listener.open((socket) => socket.destroy());
  return listener.port;
}
