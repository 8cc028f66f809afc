// The transport over node:net and node:tls, which reads with `onread` directly into the sink's buffer. Deno uses it for TLS.

import { createPrivateKey, X509Certificate } from "node:crypto";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { checkServerIdentity, connect as connectTls, type ConnectionOptions } from "node:tls";
import { checkTlsOptions, dialFailure, endCause, isOfTls, optionFailure, overlap, type Phase } from "./failure.ts";
import { Inlet } from "./inlet.ts";
import type { DialOptions, Endpoint, TlsOptions, Transport } from "./transport.ts";

/** Idle milliseconds before the operating system checks whether the other side still exists. */
const KEEP_ALIVE = 10_000;
/** A buffer for destroyed sockets: Node requests the next one even after the last bytes. */
const NOWHERE = new Uint8Array(1);

/** A transport whose socket is destroyed by the inlet. `release` then settles the pending write. */
export interface ReleasableTransport extends Transport {
  release(): void;
}

/** Creates a runtime's own transport from an open socket. `undefined` if that is not possible. */
export type Adopt = (socket: Socket, inlet: Inlet) => ReleasableTransport | undefined;

/** Opens a transport over `node:net` or `node:tls`. See {@linkcode Dial}. */
export function dial(endpoint: Endpoint, options: DialOptions): Promise<Transport> {
  return dialWith(endpoint, options);
}

/** The same, with a runtime's own transport. */
export function dialWith(endpoint: Endpoint, { sink, signal }: DialOptions, adopt?: Adopt): Promise<Transport> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const tls = endpoint.kind === "tcp" ? endpoint.tls : undefined;
    let phase: Phase = "connect";
    let open = false;
    let socket: Socket | undefined;
    let transport: ReleasableTransport | undefined;
    const inlet = new Inlet(sink, () => {
      signal?.removeEventListener("abort", abort);
      socket?.destroy();
      transport?.release();
    });

    function abort(): void {
      reject(signal?.reason);
      inlet.abandon();
    }
    function opened(on: Socket): void {
      open = true;
      signal?.removeEventListener("abort", abort);
      transport = adopt?.(on, inlet) ?? new NodeTransport(on, inlet);
      resolve(transport);
    }
    function ended(cause: unknown): void {
      if (open) return inlet.end(cause === undefined ? undefined : endCause(endpoint, cause));
      reject(dialFailure(endpoint, phase, cause ?? new Error("the other side closed the connection")));
      inlet.abandon();
    }

    try {
      if (tls !== undefined) checkTlsOptions(endpoint, tls);
      const on = socket = openSocket(endpoint, inlet);
      on.setNoDelay(true);
      on.setKeepAlive(true, KEEP_ALIVE);
      on.on(tls === undefined ? "connect" : "secureConnect", () => opened(on));
      on.on("connect", () => phase = tls === undefined ? "connect" : "tls");
      on.on("end", () => ended(undefined));
      on.on("error", ended);
      on.on("close", () => ended(undefined));
      if (inlet.ended) on.destroy(); // the sink had no space for the first bytes
      signal?.addEventListener("abort", abort);
    } catch (cause) {
      if (tls !== undefined && isOfTls(cause)) phase = "tls"; // a PEM that cannot be read
      ended(cause);
    }
  });
}

function openSocket(endpoint: Endpoint, inlet: Inlet): Socket {
  const onread = {
    buffer: () => inlet.space() ?? NOWHERE,
    callback: (count: number) => {
      inlet.received(count);
      return true;
    },
  };
  if (endpoint.kind === "unix") return connectTcp({ path: endpoint.path, onread });
  const { hostname, port, tls } = endpoint;
  if (tls === undefined) return connectTcp({ host: hostname, port, onread });
  checkIdentity(endpoint, tls);
  const name = tls.serverName ?? hostname;
  const options: ConnectionOptions & { onread: typeof onread } = {
    host: hostname,
    port,
    onread, // passed to the socket, although the types of node:tls do not have it
    ca: tls.caCerts === undefined ? undefined : [...tls.caCerts],
    cert: tls.cert,
    key: tls.key,
    // SNI contains no addresses (RFC 6066). An address is still verified, by the function below.
    servername: isIP(name) === 0 ? name : "",
    checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
    // Always set: otherwise an environment variable would decide.
    rejectUnauthorized: tls.insecure !== true,
  };
  return connectTls(options);
}

/** Deno's node:tls reports invalid PEM as an unsupported protocol, and accepts a key that does not belong to the certificate. */
function checkIdentity(endpoint: Endpoint, { cert, key }: TlsOptions): void {
  if (cert === undefined || key === undefined) return;
  let fits: boolean;
  try {
    fits = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    throw optionFailure(endpoint, "'tls.cert' and 'tls.key' must be valid PEM", cause);
  }
  if (!fits) throw optionFailure(endpoint, "'tls.key' must belong to 'tls.cert'");
}

class NodeTransport implements ReleasableTransport {
  readonly #socket: Socket;
  readonly #inlet: Inlet;
  #asked = 0;
  #taken = 0;
  #settle: (() => void) | undefined;

  constructor(socket: Socket, inlet: Inlet) {
    this.#socket = socket;
    this.#inlet = inlet;
  }

  write(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#inlet.ended || bytes.length === 0) return undefined;
    if (this.#settle !== undefined) return this.#inlet.end(overlap());
    this.#asked++;
    this.#socket.write(bytes, this.#written);
    // Zero: the operating system has taken all bytes at once.
    if (this.#socket.writableLength === 0) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#settle = resolve;
    return promise;
  }

  /** Node calls it once for each write, in order, but later, also for a write that was complete at once. So writes are counted. */
  readonly #written = (): void => {
    if (++this.#taken === this.#asked) this.release();
  };

  close(): void {
    this.#inlet.end(undefined);
  }

  release(): void {
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.();
  }
}
