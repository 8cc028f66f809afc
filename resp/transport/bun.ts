// The transport over a Bun socket: one copy into the sink's buffer, and the rest of a partial write is kept until `drain`.
//
// The socket is opened with node:net (Bun 1.4.5): a `Bun.connect` to a host that does not answer cannot be cancelled, and the process
// cannot exit for two minutes. A socket of node:net can be destroyed meanwhile. Once open, Bun's own socket is used, since node:net
// costs 5 to 13 % more CPU per message.

import type { Socket } from "node:net";
import { endCause, overlap } from "./failure.ts";
import type { Inlet } from "./inlet.ts";
import { dialWith, type ReleasableTransport } from "./node.ts";
import type { DialOptions, Endpoint, Transport } from "./transport.ts";

/** The used part of a Bun.Socket. */
interface BunSocket {
  /** Returns the number of bytes that were written, or -1 if the socket is closed. */
  write(bytes: Uint8Array): number;
  /** Sends the written bytes, then FIN. (`terminate` would discard them with RST.) */
  close(): void;
  /** Replaces the handlers of node:net. */
  reload(options: { readonly socket: BunHandlers }): void;
}

interface BunHandlers {
  readonly binaryType: "uint8array";
  data(socket: BunSocket, chunk: Uint8Array): void;
  drain(): void;
  end(): void;
  error(socket: BunSocket, cause: unknown): void;
  close(socket: BunSocket, cause: unknown): void;
}

/** Opens a transport over `node:net` or `node:tls` and Bun's own socket. See {@linkcode Dial}. */
export function dial(endpoint: Endpoint, options: DialOptions): Promise<Transport> {
  return dialWith(endpoint, options, (socket, inlet) => adopt(endpoint, socket, inlet));
}

/** Uses the Bun socket of a node:net socket. `undefined` if this version of Bun has none. */
export function adopt(endpoint: Endpoint, socket: Socket, inlet: Inlet): ReleasableTransport | undefined {
  const handle = "_handle" in socket ? socket._handle : undefined;
  if (!isBunSocket(handle)) return undefined;
  const transport = new BunTransport(handle, inlet);
  const ended = (cause: unknown) =>
    inlet.end(cause === undefined || cause === null ? undefined : endCause(endpoint, cause));
  handle.reload({
    socket: {
      binaryType: "uint8array",
      data: (_, chunk) => inlet.copy(chunk),
      drain: () => transport.drained(),
      end: () => ended(undefined),
      error: (_, cause) => ended(cause),
      close: (_, cause) => ended(cause),
    },
  });
  return transport;
}

function isBunSocket(handle: unknown): handle is BunSocket {
  if (typeof handle !== "object" || handle === null) return false;
  const methods: Partial<Record<keyof BunSocket, unknown>> = handle;
  return [methods.write, methods.close, methods.reload].every((method) => typeof method === "function");
}

class BunTransport implements ReleasableTransport {
  readonly #socket: BunSocket;
  readonly #inlet: Inlet;
  /** The bytes that `drain` still has to write. */
  #rest: Uint8Array | undefined;
  #settle: (() => void) | undefined;

  constructor(socket: BunSocket, inlet: Inlet) {
    this.#socket = socket;
    this.#inlet = inlet;
  }

  write(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#inlet.ended || bytes.length === 0) return undefined;
    if (this.#settle !== undefined) return this.#inlet.end(overlap());
    if (this.#taken(bytes)) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#settle = resolve;
    return promise;
  }

  /** Writes as many bytes as possible and keeps the rest; returns whether all were written. */
  #taken(bytes: Uint8Array): boolean {
    const count = this.#socket.write(bytes);
    if (count === bytes.length) return true;
    if (count < 0) {
      this.#inlet.end(new Error("The socket is closed"));
      return true;
    }
    this.#rest = count === 0 ? bytes : bytes.subarray(count);
    return false;
  }

  drained(): void {
    const rest = this.#rest;
    if (rest === undefined) return;
    this.#rest = undefined;
    if (this.#inlet.ended || this.#taken(rest)) this.release();
  }

  close(): void {
    this.#inlet.end(undefined);
  }

  release(): void {
    this.#rest = undefined;
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.();
  }
}
