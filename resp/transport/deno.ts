// The transport over Deno.connect, read straight into the sink's room; TLS over Deno's node:tls, which node.ts speaks.
// It must not know RESP, nor any other runtime's socket.
//
// Why not Deno.startTls or Deno.connectTls (seen with 2.9.6): they add `caCerts` to the runtime's store instead of
// replacing it, take no name to verify beside a client's certificate, cannot skip the verification, and a handshake
// that is given up leaves its socket open for as long as the other side says nothing. They read with a third less CPU.

import { dialFailure, overlap } from "./failure.ts";
import { Inlet } from "./inlet.ts";
import { type DialOptions, type Endpoint, type Transport, TransportError, type TransportSink } from "./transport.ts";

/** What is used of a Deno.Conn; a unix socket has nothing to set. */
interface DenoConn {
  read(room: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
  setNoDelay?(on: boolean): void;
  setKeepAlive?(on: boolean): void;
}

type DenoEndpoint = { transport: "tcp"; hostname: string; port: number } | { transport: "unix"; path: string };

/** What is used of the Deno namespace. */
interface DenoNet {
  connect(options: DenoEndpoint & { signal?: AbortSignal }): Promise<DenoConn>;
}

/** Opens a transport over `Deno.connect`. See {@linkcode Dial}. */
export async function dial(endpoint: Endpoint, options: DialOptions): Promise<Transport> {
  const { sink, signal } = options;
  signal?.throwIfAborted();
  if (endpoint.kind === "tcp" && endpoint.tls !== undefined) {
    const node = await import("./node.ts");
    return await node.dial(endpoint, options);
  }
  let conn: DenoConn | undefined;
  try {
    conn = await denoNet().connect({ ...target(endpoint), signal });
    signal?.throwIfAborted();
    conn.setNoDelay?.(true);
    conn.setKeepAlive?.(true);
    return new DenoTransport(conn, sink);
  } catch (cause) {
    conn?.close();
    signal?.throwIfAborted();
    throw dialFailure(endpoint, "connect", cause);
  }
}

function target(endpoint: Endpoint): DenoEndpoint {
  if (endpoint.kind === "unix") return { transport: "unix", path: endpoint.path };
  return { transport: "tcp", hostname: endpoint.hostname, port: endpoint.port };
}

function denoNet(): DenoNet {
  // The border to the runtime: its types are not ours to export, its presence is checked here.
  const { Deno } = globalThis as { Deno?: Partial<DenoNet> };
  const { connect } = Deno ?? {};
  if (connect !== undefined) return { connect };
  throw new TransportError("unsupported", "Cannot connect as Deno.connect must be there");
}

class DenoTransport implements Transport {
  readonly #conn: DenoConn;
  readonly #inlet: Inlet;
  #sending = false;

  constructor(conn: DenoConn, sink: TransportSink) {
    this.#conn = conn;
    this.#inlet = new Inlet(sink, () => conn.close());
    this.#read();
  }

  write(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#inlet.ended || bytes.length === 0) return undefined;
    if (this.#sending) return this.#inlet.end(overlap());
    return this.#send(bytes);
  }

  async #send(bytes: Uint8Array): Promise<void> {
    this.#sending = true;
    try {
      let taken = await this.#conn.write(bytes);
      while (taken < bytes.length && !this.#inlet.ended) taken += await this.#conn.write(bytes.subarray(taken));
    } catch (cause) {
      this.#inlet.end(cause);
    } finally {
      this.#sending = false;
    }
  }

  async #read(): Promise<void> {
    try {
      for (let room = this.#inlet.space(); room !== undefined; room = this.#inlet.space()) {
        const count = await this.#conn.read(room);
        if (count === null) return this.#inlet.end(undefined);
        this.#inlet.received(count);
      }
    } catch (cause) {
      this.#inlet.end(cause);
    }
  }

  close(): void {
    this.#inlet.end(undefined);
  }
}
