// A TCP proxy between a client and a server that makes the network misbehave on demand.

import { connect, type Socket } from "node:net";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import { destroy, Listener } from "./sockets.ts";

/** What to connect to. */
export interface Upstream {
  readonly host: string;
  readonly port: number;
}

/** One direction of all the connections, present and future. */
export class Direction {
  /** Bytes that came so far. */
  received = 0;
  /** Bytes that passed so far. */
  passed = 0;
  #gate: PromiseWithResolvers<void> | undefined;
  #swallowing = false;
  #stopped = false;
  #pieces = Infinity;
  #rate = Infinity;
  #budget = Infinity;

  /** Lets `count` more bytes pass, then cuts the connection that carries the last of them. Once. */
  cutAfter(count: number): void {
    this.#budget = count;
  }

  /**
   * Holds bytes from now on, up to 64 KiB of them: then the sender finds its socket full. With `swallow` the sender
   * notices nothing, and the held bytes outlive its connection.
   */
  hold(options: { readonly swallow?: boolean } = {}): void {
    if (this.#stopped) return;
    this.#swallowing = options.swallow ?? false;
    this.#gate ??= Promise.withResolvers();
  }

  /** How many bytes of one connection may wait here. */
  get room(): number {
    return this.#swallowing ? Infinity : 65_536;
  }

  /** Lets the held bytes go, and all later ones. */
  release(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
    this.#swallowing = false;
  }

  /** Passes bytes in pieces of at most that size, each in a write of its own. `Infinity` ends it. */
  split(size: number): void {
    this.#pieces = size;
  }

  /** Passes at most so many bytes a second on each connection. `Infinity` ends it. */
  limit(bytesPerSecond: number): void {
    this.#rate = bytesPerSecond;
  }

  /** For the proxy's end: nothing is held any more. */
  stop(): void {
    this.#stopped = true;
    this.release();
  }

  /** Writes as much of the chunk as is allowed. Returns false if the connection must then be cut. */
  async pass(chunk: Uint8Array, to: Socket): Promise<boolean> {
    for (let at = 0; at < chunk.length;) {
      while (this.#gate) await this.#gate.promise;
      if (to.destroyed) return false;
      const rateSlice = this.#rate === Infinity ? Infinity : Math.max(1, Math.ceil(this.#rate / 100));
      const size = Math.min(chunk.length - at, this.#pieces, rateSlice, this.#budget);
      if (size > 0) await write(to, chunk.subarray(at, at + size));
      at += size;
      this.passed += size;
      this.#budget -= size;
      if (this.#budget <= 0) {
        this.#budget = Infinity;
        return false;
      }
      if (this.#rate !== Infinity && !this.#stopped) await sleep(size / this.#rate * 1_000);
      else if (this.#pieces !== Infinity) await turn();
    }
    return true;
  }
}

async function write(to: Socket, bytes: Uint8Array): Promise<void> {
  // Resolves with the error too: a socket that is gone is noticed by its `destroyed`.
  await new Promise<void>((resolve) => {
    to.once("close", resolve);
    to.write(bytes, () => {
      to.off("close", resolve);
      resolve();
    });
  });
}

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}

/** A running proxy. */
export class Proxy implements AsyncDisposable {
  readonly toServer = new Direction();
  readonly toClient = new Direction();
  /** Connections taken so far, without the refused ones. */
  connections = 0;
  /** Connections refused so far. */
  refused = 0;
  #upstream: Upstream;
  #listener: Listener | undefined;
  #pairs = new Set<Pair>();
  #flows = new Set<Promise<void>>();
  #refusing = false;

  private constructor(upstream: Upstream) {
    this.#upstream = upstream;
  }

  /** Starts a proxy for that server. */
  static async start(upstream: Upstream): Promise<Proxy> {
    const proxy = new Proxy(upstream);
    proxy.#listener = await Listener.open((socket) => proxy.#take(socket));
    return proxy;
  }

  get host(): string {
    return "127.0.0.1";
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  get url(): string {
    return `redis://${this.host}:${this.port}`;
  }

  /** Connections that are open on the client's side. */
  get open(): number {
    return this.#listener?.sockets.size ?? 0;
  }

  /** Cuts all connections, on both sides. */
  async cut(): Promise<void> {
    await Promise.all([...this.#pairs].flatMap(({ client, server }) => [destroy(client), destroy(server)]));
  }

  /** Cuts the clients' sides only. The server's sides stay, and get the held bytes when they are released. */
  async cutClients(): Promise<void> {
    await Promise.all([...this.#pairs].map(({ client }) => destroy(client)));
  }

  /** Leads new connections elsewhere, as a host name does that was given another address; those that are open stay. */
  lead(upstream: Upstream): void {
    this.#upstream = upstream;
  }

  /** Closes new connections as they come, or takes them again. */
  refuse(on = true): void {
    this.#refusing = on;
  }

  /** Ends everything. */
  async stop(): Promise<void> {
    this.#refusing = true;
    this.toServer.stop();
    this.toClient.stop();
    await this.cut();
    await this.#listener?.stop();
    await Promise.all(this.#flows);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #take(client: Socket): void {
    if (this.#refusing) {
      this.refused += 1;
      client.destroy();
      return;
    }
    this.connections += 1;
    const { host, port } = this.#upstream;
    const server = connect({ host, port, allowHalfOpen: true, noDelay: true });
    const pair = { client, server };
    this.#pairs.add(pair);
    server.on("error", () => server.destroy());
    // The server's end is the client's. The client's end reaches the server after the bytes that are still held.
    server.once("close", () => {
      this.#pairs.delete(pair);
      client.destroy();
    });
    for (const flow of [this.#flow(pair, "toServer"), this.#flow(pair, "toClient")]) {
      this.#flows.add(flow);
      flow.finally(() => this.#flows.delete(flow));
    }
  }

  async #flow({ client, server }: Pair, way: "toServer" | "toClient"): Promise<void> {
    const [from, to] = way === "toServer" ? [client, server] : [server, client];
    for await (const chunk of chunksOf(from, this[way])) {
      if (await this[way].pass(chunk, to)) continue;
      // Drops bytes for a client that has left. A cut on request closes both sides.
      if (way === "toClient" && to.destroyed && !server.destroyed) continue;
      client.destroy();
      server.destroy();
      return;
    }
    to.end();
  }
}

/** The chunks of a socket, until it ends or closes. While more than `room` bytes wait, reading is paused. */
async function* chunksOf(socket: Socket, direction: Direction): AsyncGenerator<Uint8Array> {
  let chunks: Uint8Array[] = [];
  let waiting = 0;
  let ended = socket.destroyed;
  let wake = () => {};
  socket.on("data", (chunk: Uint8Array) => {
    chunks.push(chunk);
    waiting += chunk.length;
    direction.received += chunk.length;
    if (waiting > direction.room) socket.pause();
    wake();
  });
  const end = () => {
    ended = true;
    wake();
  };
  socket.on("end", end);
  socket.on("close", end);
  for (;;) {
    const taken = chunks;
    chunks = [];
    for (const chunk of taken) {
      yield chunk;
      waiting -= chunk.length;
      if (waiting <= direction.room) socket.resume();
    }
    if (chunks.length > 0) continue;
    if (ended) return;
    await new Promise<void>((resolve) => wake = resolve);
  }
}

/** Starts a proxy in front of a server. */
export function startProxy(upstream: Upstream): Promise<Proxy> {
  return Proxy.start(upstream);
}
