// A relay that corrupts a reply, as broken hardware or software between client and server does.

import { connect } from "node:net";
import type { Upstream } from "./proxy.ts";
import { Listener } from "./sockets.ts";

/** The fate of one chunk from a server. */
export type Spoil = (piece: Uint8Array, connection: number) => Uint8Array;

/** A running relay. */
export class Garbler implements AsyncDisposable {
  /** Applied to every piece from now on. */
  spoil: Spoil = (piece) => piece;
  #connections = 0;
  #listener: Listener | undefined;

  /** Starts a relay for that server. */
  static async start(upstream: Upstream): Promise<Garbler> {
    const garbler = new Garbler();
    garbler.#listener = await Listener.open((client) => {
      const index = garbler.#connections++;
      const { host, port } = upstream;
      const server = connect({ host, port, noDelay: true });
      client.on("data", (piece: Uint8Array) => server.write(piece));
      server.on("data", (piece: Uint8Array) => client.write(garbler.spoil(piece, index)));
      for (const [one, other] of [[client, server], [server, client]]) {
        one.on("error", () => other.destroy());
        one.on("end", () => other.end());
        one.on("close", () => other.destroy());
      }
    });
    return garbler;
  }

  get url(): string {
    return `redis://${this.#listener?.host}:${this.#listener?.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener?.stop();
  }
}

/** The same with its first byte made one that begins no reply. */
export function garbled(piece: Uint8Array): Uint8Array {
  const copy = piece.slice();
  copy[0] ^= 0xff;
  return copy;
}
