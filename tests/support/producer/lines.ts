// A relay that holds its connections one by one: an old one can stall while a new one passes, as in real networks.

import { connect, type Socket } from "node:net";
import { destroy, Listener } from "../network/sockets.ts";

/** One connection through the relay. */
export class Line {
  readonly #client: Socket;
  readonly #server: Socket;
  #held: Uint8Array[] | undefined;
  #clientEnded = false;
  /** Bytes that wait here. */
  waiting = 0;

  constructor(client: Socket, server: Socket) {
    this.#client = client;
    this.#server = server;
    client.on("data", (chunk: Uint8Array) => {
      if (this.#held === undefined) return void server.write(chunk);
      this.#held.push(chunk.slice());
      this.waiting += chunk.length;
    });
    server.on("data", (chunk: Uint8Array) => {
      if (!client.destroyed) client.write(chunk);
    });
    client.on("close", () => {
      this.#clientEnded = true;
      if (this.#held === undefined) server.end();
    });
    server.on("error", () => server.destroy());
    server.on("close", () => client.destroy());
  }

  /** Keeps the client's bytes from now on, also when the client has left. */
  hold(): void {
    this.#held ??= [];
  }

  /** Delivers the kept bytes at once. */
  release(): void {
    for (const chunk of this.#held ?? []) this.#server.write(chunk);
    this.#held = undefined;
    this.waiting = 0;
    if (this.#clientEnded) this.#server.end();
  }

  /** Whether the server has closed its side, or has to. */
  get serverClosed(): boolean {
    return this.#server.destroyed;
  }

  /** Closes the client's side only. */
  cutClient(): Promise<void> {
    return destroy(this.#client);
  }

  /** Closes both. */
  async cut(): Promise<void> {
    await Promise.all([destroy(this.#client), destroy(this.#server)]);
  }
}

/** A running relay. */
export class Lines implements AsyncDisposable {
  /** All connections so far, in order. */
  readonly lines: Line[] = [];
  readonly #listener: Listener;

  private constructor(listener: Listener) {
    this.#listener = listener;
  }

  /** Starts one in front of a server. */
  static async start(upstream: { readonly host: string; readonly port: number }): Promise<Lines> {
    let take = (socket: Socket): void => void socket.destroy();
    const lines = new Lines(await Listener.open((socket) => take(socket)));
    take = (client) => {
      const { host, port } = upstream;
      lines.lines.push(new Line(client, connect({ host, port, noDelay: true })));
    };
    return lines;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.#listener.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.lines.map((line) => line.cut()));
    await this.#listener.stop();
  }
}
