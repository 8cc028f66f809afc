// The transport over Bun.connect: one copy into the sink's room, and the rest of a partial write kept until `drain`.
// It must not know RESP, nor any other runtime's socket.

import { checkTlsOptions, dialFailure, endCause, isOfTls, overlap, type Phase } from "./failure.ts";
import { Inlet } from "./inlet.ts";
import { type DialOptions, type Endpoint, type TlsOptions, type Transport, TransportError } from "./transport.ts";

/** Idle milliseconds before the operating system starts to probe whether the other side is still there. */
const KEEP_ALIVE = 10_000;

/** What is used of a Bun.Socket. */
interface BunSocket {
  /** How many bytes were taken; -1 when the socket is closed. */
  write(bytes: Uint8Array): number;
  /** Sends what the operating system has taken, then FIN (`terminate` would throw it away by RST). */
  close(): void;
  setNoDelay(on: boolean): boolean;
  setKeepAlive(on: boolean, delay: number): boolean;
}

interface BunHandlers {
  readonly binaryType: "uint8array";
  open(socket: BunSocket): void;
  handshake?: (socket: BunSocket, success: boolean, failure: Error | null) => void;
  data(socket: BunSocket, chunk: Uint8Array): void;
  drain(): void;
  end(): void;
  error(socket: BunSocket, cause: unknown): void;
  close(socket: BunSocket, cause: unknown): void;
  connectError(socket: BunSocket, cause: unknown): void;
}

interface BunTls {
  readonly ca?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
  readonly serverName: string;
  readonly rejectUnauthorized: boolean;
}

type BunEndpoint = { unix: string } | { hostname: string; port: number; tls?: BunTls };

/** What is used of the Bun namespace. */
interface BunNet {
  connect(options: BunEndpoint & { socket: BunHandlers }): Promise<unknown>;
}

/**
 * Opens a transport over `Bun.connect`. See {@linkcode Dial}. An abort rejects at once, but Bun has no means to give
 * up TCP's own connecting: such a socket is destroyed when it opens, or when the operating system gives it up.
 */
export function dial(endpoint: Endpoint, { sink, signal }: DialOptions): Promise<Transport> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const bun = bunNet();
    const tls = endpoint.kind === "tcp" ? endpoint.tls : undefined;
    let phase: Phase = "connect";
    let open = false;
    let socket: BunSocket | undefined;
    const inlet = new Inlet(sink, () => {
      signal?.removeEventListener("abort", abort);
      socket?.close();
      transport?.release();
    });
    let transport: BunTransport | undefined;

    function abort(): void {
      reject(signal?.reason);
      inlet.abandon();
    }
    function opened(on: BunSocket): void {
      open = true;
      signal?.removeEventListener("abort", abort);
      transport = new BunTransport(on, inlet);
      resolve(transport);
    }
    function ended(cause: unknown): void {
      if (open) return inlet.end(cause === undefined ? undefined : endCause(endpoint, cause));
      reject(dialFailure(endpoint, phase, cause ?? new Error("the other side closed the connection")));
      inlet.abandon();
    }
    const handlers: BunHandlers = {
      binaryType: "uint8array",
      open(on) {
        socket = on;
        if (inlet.ended) return on.close(); // aborted while TCP was connecting
        on.setNoDelay(true);
        on.setKeepAlive(true, KEEP_ALIVE);
        if (tls === undefined) opened(on);
        else phase = "tls";
      },
      data(_, chunk) {
        if (open) inlet.copy(chunk);
        else ended(new Error("bytes before the end of the handshake"));
      },
      drain: () => transport?.drained(),
      end: () => ended(undefined),
      error: (_, cause) => ended(cause),
      close: (_, cause) => ended(cause),
      connectError: (_, cause) => ended(cause),
    };
    if (tls !== undefined) {
      handlers.handshake = (on, success, failure) => {
        if (inlet.ended || open) return;
        if (success && failure === null) opened(on);
        else if (tls.insecure === true && failure !== null && !isErrno(failure)) opened(on);
        else ended(failure ?? new Error("the handshake failed"));
      };
    }
    signal?.addEventListener("abort", abort);
    const failed = (cause: unknown) => {
      // Options that BoringSSL refuses (a PEM that cannot be read) fail before anything is dialled. Errors of dialling
      // are told apart by their code: a host's name in the text may hold any word.
      if (tls !== undefined && !isErrno(cause) && isOfTls(cause)) phase = "tls";
      ended(cause);
    };
    try {
      if (tls !== undefined) checkTlsOptions(endpoint, tls);
      bun.connect({ ...target(endpoint), socket: handlers }).catch(failed);
    } catch (cause) {
      failed(cause);
    }
  });
}

function target(endpoint: Endpoint): BunEndpoint {
  if (endpoint.kind === "unix") return { unix: endpoint.path };
  const { hostname, port, tls } = endpoint;
  return tls === undefined ? { hostname, port } : { hostname, port, tls: tlsOptions(tls, hostname) };
}

function tlsOptions({ caCerts, cert, key, serverName, insecure }: TlsOptions, hostname: string): BunTls {
  return {
    ...(caCerts === undefined ? {} : { ca: caCerts }),
    ...(cert === undefined ? {} : { cert, key }),
    // SNI carries no addresses (RFC 6066); with an empty name Bun sends none and verifies the address dialled.
    serverName: serverName ?? (isAddress(hostname) ? "" : hostname),
    // Said in both cases: left out, an environment variable would decide.
    rejectUnauthorized: insecure !== true,
  };
}

function isAddress(hostname: string): boolean {
  return hostname.includes(":") || /^[\d.]+$/.test(hostname);
}

/**
 * Whether an error is named after an errno (ECONNREFUSED, EPROTO): TCP or the handshake itself failed. What only found
 * the certificate wanting has another code (CERT_HAS_EXPIRED); after it Bun goes on if told not to reject, even where
 * it denies success.
 */
function isErrno(cause: unknown): boolean {
  return !(cause instanceof Error && "code" in cause && typeof cause.code === "string" && cause.code.includes("_"));
}

function bunNet(): BunNet {
  // The border to the runtime: its types are not ours to export, its presence is checked here.
  const { Bun } = globalThis as { Bun?: Partial<BunNet> };
  const { connect } = Bun ?? {};
  if (connect !== undefined) return { connect };
  throw new TransportError("unsupported", "Cannot connect as Bun.connect must be there");
}

class BunTransport implements Transport {
  readonly #socket: BunSocket;
  readonly #inlet: Inlet;
  /** What `drain` has still to write. */
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

  /** Writes what can be written now, keeps the rest, and tells whether there is none. */
  #taken(bytes: Uint8Array): boolean {
    const count = this.#socket.write(bytes);
    if (count === bytes.length) return true;
    if (count < 0) {
      this.#inlet.end(new Error("Cannot write as the socket must be open: it is closed"));
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
