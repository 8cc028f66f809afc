// The transport over Deno.connect, which reads directly into the sink's buffer. TLS uses Deno's node:tls, through node.ts.
//
// Deno.startTls and Deno.connectTls are not used (Deno 2.9.6): they add `caCerts` to the runtime's certificates instead of replacing
// them, cannot verify another name together with a client certificate, and cannot skip the verification. A cancelled handshake leaves
// its socket open until the other side sends something. They would read with a third less CPU.

import { dialFailure, overlap } from "./failure.ts";
import { Inlet } from "./inlet.ts";
import { type DialOptions, type Endpoint, type Transport, TransportError, type TransportSink } from "./transport.ts";

/** The used part of a Deno.Conn. A unix socket has no setters. */
interface DenoConn {
  read(room: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
  setNoDelay?(on: boolean): void;
  setKeepAlive?(on: boolean): void;
}

type DenoEndpoint = { transport: "tcp"; hostname: string; port: number } | { transport: "unix"; path: string };

/** The used part of the Deno namespace. */
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
    conn = await open(endpoint, signal);
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

/** Milliseconds after an abort during which an attempt to connect may still succeed. */
const ABORT_DELAY = 20;

/**
 * Opens a connection. Deno 2.9.6 leaks the socket of a connection that is open when the signal is aborted, and whose promise has not
 * resolved yet: 10 to 24 of 100 aborts of connections over loopback. So the signal reaches Deno after a delay, in which a host
 * nearby has answered. An abort that meets the answer of a distant host exactly can still leak.
 */
async function open(endpoint: Endpoint, signal: AbortSignal | undefined): Promise<DenoConn> {
  const late = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const abort = () => timer = setTimeout(() => late.abort(signal?.reason), ABORT_DELAY);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    return await denoNet().connect({ ...target(endpoint), signal: late.signal });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

function target(endpoint: Endpoint): DenoEndpoint {
  if (endpoint.kind === "unix") return { transport: "unix", path: endpoint.path };
  return { transport: "tcp", hostname: endpoint.hostname, port: endpoint.port };
}

function denoNet(): DenoNet {
  // The border to the runtime: its types are not available elsewhere, and its presence is checked here.
  const { Deno } = globalThis as { Deno?: Partial<DenoNet> };
  const { connect } = Deno ?? {};
  if (connect !== undefined) return { connect };
  throw new TransportError("unsupported", "Deno.connect is missing");
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
