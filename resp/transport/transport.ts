// The seam between sockets and everything above: what a connection asks of a runtime's socket.
// It must not know RESP, nor any type of one runtime.

/** Certificates and verification of a TLS connection. Verification is on unless `insecure` is `true`. */
export interface TlsOptions {
  /** Certificate authorities to trust, PEM, in place of the runtime's own; at least one. */
  readonly caCerts?: readonly string[];
  /** The client's certificate chain, PEM; goes with `key`. */
  readonly cert?: string;
  /** The client's private key, PEM; goes with `cert`. */
  readonly key?: string;
  /** The name or address the server's certificate must carry; a name is sent as SNI too. @default {the host's name} */
  readonly serverName?: string;
  /** `true` accepts any certificate: for trying things out, never for production. @default {false} */
  readonly insecure?: boolean;
}

/** Where a server listens. `hostname` is a name or an address without brackets. */
export type Endpoint =
  | { readonly kind: "tcp"; readonly hostname: string; readonly port: number; readonly tls?: TlsOptions }
  | { readonly kind: "unix"; readonly path: string };

/**
 * What receives the bytes of one transport. Its owner implements it; the adapter calls it, never at the same
 * time as one of its own methods is running, and never after `closed`.
 */
export interface TransportSink {
  /**
   * Gives the room for the next bytes, at least one byte long. The adapter writes at its beginning and says
   * how much by `received`. The room stays valid, and is not moved, until then; asked for again without
   * `received` in between, it may be the same or another.
   */
  space(): Uint8Array;
  /** `count` bytes, at least 1, stand at the beginning of the room given last. Never throws. */
  received(count: number): void;
  /**
   * The end, exactly once, in a microtask of its own: never from within `received`, `write` or `close`. No cause when
   * the other side closed in order (nothing is sent any more then), or `close` was called; a {@linkcode TransportError}
   * where TLS failed (of TLS 1.3, a refused client certificate shows only here); else the runtime's own error. What a
   * sink throws in `space` or `received` ends the transport with that as its cause. A peer that vanished without a word
   * is no end: only silence tells, and listening to it is the owner's business.
   */
  closed(cause: unknown): void;
}

/** One open socket. */
export interface Transport {
  /**
   * Sends bytes, all of them, in the order of the calls, or the connection is dead. Returns nothing when the
   * operating system has taken them all at once; else a promise that resolves when it has (it never rejects: a
   * failure ends the transport, and the promise resolves then too). Until then the caller neither changes the
   * bytes nor writes again: a second write would mix the bytes, so it ends the transport. After the end it does nothing.
   */
  write(bytes: Uint8Array): Promise<void> | undefined;
  /**
   * Ends the connection at once; what was not yet taken by the operating system may be lost. `closed` is called after
   * it has returned. Twice is harmless.
   */
  close(): void;
}

/**
 * Opens a transport; TLS is complete and verified when it resolves. Rejects with a {@linkcode TransportError}, or the
 * signal's reason; then `closed` is never called. It has no time limit of its own: to a server that answers nothing
 * (Redis without TLS may wait for the rest of what it takes for a command) only the signal puts an end.
 */
export type Dial = (endpoint: Endpoint, options: DialOptions) => Promise<Transport>;

/** What goes with every dialling. */
export interface DialOptions {
  /** Who gets the bytes. Called from the moment of connecting on, also before the promise has resolved. */
  readonly sink: TransportSink;
  /** Aborts connecting; after that it has no effect. */
  readonly signal?: AbortSignal;
}

/**
 * Why no transport could be opened: `"connect"` (nobody there, refused, name unknown), `"certificate"` (the
 * certificate of the other side, or ours, is not accepted), `"tls"` (no TLS could be spoken), `"unsupported"`
 * (this runtime cannot do it), `"denied"` (the permissions of the runtime or the operating system forbid it).
 */
export type TransportErrorKind = "connect" | "certificate" | "tls" | "unsupported" | "denied";

/** A failure to open a transport, the same on every runtime; the runtime's own error is its cause. */
export class TransportError extends Error {
  /** `"TransportError"`. */
  override readonly name = "TransportError";
  /** What kind of failure it was. */
  readonly kind: TransportErrorKind;

  /** Makes an error of this kind. */
  constructor(kind: TransportErrorKind, message: string, options?: { readonly cause?: unknown }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
  }
}
