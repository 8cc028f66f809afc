// The interface between the sockets of the runtimes and all higher layers. It contains no types of one runtime.

/**
 * Certificates and verification of a TLS connection.
 *
 * @category Connecting
 */
export interface TlsOptions {
  /** Certificate authorities to trust instead of the runtime's own, in PEM format. At least one. */
  readonly caCerts?: readonly string[];
  /** The client's certificate chain in PEM format. It needs `key`. */
  readonly cert?: string;
  /** The client's private key in PEM format. It needs `cert`. */
  readonly key?: string;
  /** The name or address that the server's certificate must contain. A name is also sent as SNI. @default {the host name} */
  readonly serverName?: string;
  /** Whether to accept any certificate. Use it for experiments only, never in production. @default {false} */
  readonly insecure?: boolean;
}

/** The address of a server. `hostname` is a name or an address without brackets. */
export type Endpoint =
  | { readonly kind: "tcp"; readonly hostname: string; readonly port: number; readonly tls?: TlsOptions }
  | { readonly kind: "unix"; readonly path: string };

/**
 * The receiver of a transport's bytes. Its owner implements it. The adapter never calls it from within its own methods, and never
 * after `closed`.
 */
export interface TransportSink {
  /**
   * Returns the buffer for the next bytes, at least one byte long. The adapter writes at its start and passes the number of bytes to
   * `received`. The buffer is valid until then. Without `received` in between, a second call may return another buffer.
   */
  space(): Uint8Array;
  /** Reports `count` bytes, at least 1, at the start of the last buffer. Never throws. */
  received(count: number): void;
  /**
   * Reports the end. It is called exactly once, in a microtask of its own: never from within `received`, `write` or `close`.
   *
   * There is no cause if the other side has closed the connection or `close` was called. The cause is a {@linkcode TransportError} if
   * TLS failed: with TLS 1.3, a refused client certificate is reported here. Otherwise it is the runtime's own error, or the exception
   * of the sink's `space` or `received`. A peer that disappears without closing is not reported. The owner notices it by its silence.
   */
  closed(cause: unknown): void;
}

/** One open socket. */
export interface Transport {
  /**
   * Sends all bytes, in the order of the calls, or ends the transport. After the end it does nothing.
   *
   * Returns nothing if the operating system has taken all bytes at once. Otherwise it returns a promise that resolves when it has. The
   * promise never rejects: a failure ends the transport, and the promise resolves. Until then the caller must neither change the bytes
   * nor write again. An overlapping write ends the transport.
   */
  write(bytes: Uint8Array): Promise<void> | undefined;
  /**
   * Ends the connection at once. Bytes that the operating system has not taken yet may be lost. `closed` is called after this has
   * returned. A second call does nothing.
   */
  close(): void;
}

/**
 * Opens a transport. When it resolves, TLS is complete and verified. Rejects with a {@linkcode TransportError} or the signal's reason,
 * and `closed` is then never called. There is no time limit: if a server does not answer, only the signal ends the attempt. (Redis
 * without TLS may wait for the rest of a TLS greeting, which it reads as a command.)
 */
export type Dial = (endpoint: Endpoint, options: DialOptions) => Promise<Transport>;

/** Options of {@linkcode Dial}. */
export interface DialOptions {
  /** The receiver of the bytes. It may be called before the promise has resolved. */
  readonly sink: TransportSink;
  /** Cancels the attempt. It has no effect after that. */
  readonly signal?: AbortSignal;
}

/**
 * Why no transport could be opened.
 *
 * - `"connect"`: the host is unknown, unreachable, or refuses the connection.
 * - `"certificate"`: one of the two certificates was not accepted.
 * - `"tls"`: the TLS handshake failed.
 * - `"unsupported"`: the runtime does not support it.
 * - `"denied"`: the permissions of the runtime do not allow it.
 * - `"forbidden"`: EPERM or EACCES, from a firewall, the permissions of a unix socket, or a service without a server.
 */
export type TransportErrorKind = "connect" | "certificate" | "tls" | "unsupported" | "denied" | "forbidden";

/** A failure to open a transport, the same on every runtime. The runtime's own error is its cause. */
export class TransportError extends Error {
  /** `"TransportError"`. */
  override readonly name = "TransportError";
  /** The kind of the failure. */
  readonly kind: TransportErrorKind;
  readonly #reason: string;

  /** Creates an error with the text `Cannot connect to <place>: <reason>`. */
  constructor(
    kind: TransportErrorKind,
    reason: string,
    { cause, place }: { readonly cause?: unknown; readonly place?: string } = {},
  ) {
    const text = `Cannot connect${place === undefined ? "" : ` to ${place}`}: ${reason}`;
    super(text, cause === undefined ? undefined : { cause });
    this.kind = kind;
    this.#reason = reason;
  }

  /** Why it failed, without the address. */
  get reason(): string {
    return this.#reason;
  }
}
