// One server: the connection attempts, the handshake, and the reconnect gate that all its connections share.

import { RedisError, StreamerError } from "../errors.ts";
import type { RespLimits } from "../limits.ts";
import { type Dial, type Endpoint, TransportError } from "../transport/transport.ts";
import type { ReconnectOptions } from "./reconnect/backoff.ts";
import type { Clock } from "./clock.ts";
import { Demotions } from "./reconnect/demotion.ts";
import { ReconnectGate } from "./reconnect/gate.ts";
import { askCredentials, type Identification, mayChange } from "./handshake/credentials.ts";
import { ConnectError } from "./handshake/connect_error.ts";
import { type AttemptSigns, whyFailed, whyLate } from "./handshake/diagnosis.ts";
import { handshake, refusal, type ServerInfo } from "./handshake/handshake.ts";
import { Pipeline } from "./pipeline/pipeline.ts";
import { type Wait, type WaitingListener, WaitingWatch } from "./retry/waiting.ts";

/** Events of a node's connections. `node` is its address without credentials. */
export interface NodeEvents extends WaitingListener {
  connect(detail: { readonly node: string }): void;
  disconnect(detail: { readonly node: string; readonly cause?: unknown }): void;
  reconnect(
    detail: { readonly node: string; readonly attempt: number; readonly delay: number; readonly cause: unknown },
  ): void;
}

/** Options of {@linkcode RedisNode}. */
export interface RedisNodeOptions {
  readonly endpoint: Endpoint;
  /** The node's name in events and errors. @default {its address} */
  readonly name?: string;
  /** The id that the node must have in its cluster. `undefined` if any server will do. Asked at each attempt. */
  readonly nodeId?: () => string | undefined;
  /** Reports commands that are retried for long. @default {a new one} */
  readonly waits?: WaitingWatch;
  readonly dial: Dial;
  readonly identification: Identification;
  /** Milliseconds for credential functions, dialling and handshake together, and the longest silence of a server that has to answer. */
  readonly timeout: number;
  readonly reconnect: Required<ReconnectOptions>;
  readonly limits: Required<RespLimits>;
  readonly clock: Clock;
  readonly events: NodeEvents;
  /** Adds to the error of a failed attempt, such as which server has announced this one. @default {the error as it is} */
  readonly explain?: (failure: ConnectError) => ConnectError;
}

/** A connection that is ready for commands. */
export interface OpenConnection {
  readonly pipeline: Pipeline;
  /** The node of the connection. */
  readonly node: RedisNode;
  readonly info: ServerInfo;
}

/** One server, to which connections are opened. */
export class RedisNode {
  readonly #options: RedisNodeOptions;
  /** Its address without credentials, or the name that it was given. */
  readonly name: string;
  readonly #place: string; // for errors
  /** Decides when a lost connection may be tried again. */
  readonly gate: ReconnectGate;
  /** The state of its role, which all connections share. */
  readonly demotions: Demotions;
  /** Reports commands that are retried for long. */
  readonly waits: WaitingWatch;
  #lastFailure: unknown;
  #server: string | undefined;
  #hasServed = false;
  #refusal: Wait | undefined; // while changing credentials are refused
  readonly #attempts = new Set<AbortController>();

  constructor(options: RedisNodeOptions) {
    this.#options = options;
    const address = endpointName(options.endpoint);
    this.name = options.name ?? address;
    this.#place = this.name === address ? address : `${this.name} (dialled as ${address})`;
    const { reconnect, clock, events } = options;
    this.demotions = new Demotions(reconnect, clock);
    this.waits = options.waits ?? new WaitingWatch(this.name, clock, events);
    this.gate = new ReconnectGate(reconnect, clock, (retry) => {
      this.#lastFailure = retry.cause;
      events.reconnect({ node: this.name, ...retry });
    });
  }

  /** The server's name and version, as in `"redis 8.0.6"`, of the latest connection. `undefined` if the server does not report it. */
  get server(): string | undefined {
    return this.#server;
  }

  /** The cause of the last failed attempt, or of the last lost connection. */
  get failure(): unknown {
    return this.#lastFailure;
  }

  /** The number of connections that have been lost so far. */
  get losses(): number {
    return this.gate.losses;
  }

  get clock(): Clock {
    return this.#options.clock;
  }

  get timeout(): number {
    return this.#options.timeout;
  }

  /** Limits for replies. */
  get limits(): Required<RespLimits> {
    return this.#options.limits;
  }

  get events(): NodeEvents {
    return this.#options.events;
  }

  /** As a destination, a node resolves to itself. */
  resolve(): Promise<RedisNode> {
    return Promise.resolve(this);
  }

  /** There is no other node to resolve to. */
  report(): void {}

  /**
   * Another node has taken the place of this one. Its connections are closed at once, since what it still executes is discarded. Waiting
   * attempts resolve the destination again, and those in progress fail.
   */
  replaced(cause: unknown): void {
    const options = { final: false, cause, place: this.#place };
    const failure = new ConnectError("CONNECT", "another server has taken its place", options);
    for (const attempt of this.#attempts) attempt.abort(failure);
    this.gate.dismiss();
    this.demotions.replaced(cause);
  }

  /**
   * Makes one attempt: gets the credentials, dials and runs the handshake. Rejects with `TIMEOUT` after {@linkcode timeout}.
   *
   * @throws {ConnectError} if the attempt fails. Or the signal's reason.
   */
  async open(options: { readonly signal: AbortSignal; readonly capacity?: number }): Promise<OpenConnection> {
    const { endpoint, dial, timeout, clock, limits, identification } = this.#options;
    const { signal, capacity } = options;
    signal.throwIfAborted();
    const attempt = new AbortController();
    this.#attempts.add(attempt);
    const abort = () => attempt.abort(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    let asking = true;
    let opened = false;
    const pipeline = new Pipeline({ timeout, clock, limits, capacity });
    const signs = () => this.#signs(pipeline, opened);
    const timer = clock.after(timeout, () => attempt.abort(this.#late(asking, signs())));
    const stop = () => pipeline.end(new StreamerError("DISCONNECTED", "The connection attempt was cancelled"));
    attempt.signal.addEventListener("abort", stop, { once: true });
    try {
      const credentials = { ...await askCredentials(identification, attempt.signal), nodeId: this.#options.nodeId?.() };
      asking = false;
      const ready = handshake(pipeline, credentials);
      ready.catch(() => {}); // it fails together with dialling, whose error says more
      const transport = await dial(endpoint, { sink: pipeline.sink, signal: attempt.signal });
      opened = true;
      pipeline.open(transport);
      const info = await ready;
      attempt.signal.throwIfAborted();
      this.#server = info.server;
      this.#hasServed = true;
      this.#refusalIsOver();
      return { pipeline, node: this, info };
    } catch (error) {
      const failed = attempt.signal.aborted ? attempt.signal.reason : this.#failure(error, signs());
      const failure = signal.aborted || asking ? failed : this.#explained(failed);
      pipeline.end(new StreamerError("DISCONNECTED", "The handshake failed"));
      if (!signal.aborted) this.#noteRefusal(failure);
      throw failure;
    } finally {
      this.#attempts.delete(attempt);
      timer.stop();
      signal.removeEventListener("abort", abort);
      attempt.signal.removeEventListener("abort", stop);
    }
  }

  /** Takes over a connection to the same server that was opened under another name. */
  adopt({ pipeline, info }: OpenConnection): OpenConnection {
    this.#server = info.server;
    this.#hasServed = true;
    return { pipeline, info, node: this };
  }

  /** The retries have ended without success. */
  gaveUp(): void {
    this.#refusalIsOver();
  }

  /** Reports credentials that are refused for long. Other failures are reported as a lost connection. */
  #noteRefusal(failure: unknown): void {
    const isRefusal = failure instanceof ConnectError && failure.code === "AUTH" && !failure.final && this.#hasServed;
    if (!isRefusal) return this.#refusalIsOver();
    if (this.#refusal === undefined) this.#refusal = this.waits.begin(failure);
    else this.#refusal.refused(failure);
  }

  #refusalIsOver(): void {
    this.#refusal?.over();
    this.#refusal = undefined;
  }

  #signs(pipeline: Pipeline, opened: boolean): AttemptSigns {
    const { endpoint, timeout } = this.#options;
    const tls = endpoint.kind === "tcp" && endpoint.tls !== undefined;
    return { tls, opened, received: pipeline.received, unread: pipeline.unread, timeout };
  }

  #late(asking: boolean, signs: AttemptSigns): ConnectError {
    const unanswered = `a credential function did not return within ${this.timeout} ms`;
    const reason = asking ? unanswered : whyLate(signs);
    return new ConnectError("TIMEOUT", reason, { final: false, place: this.#place });
  }

  #failure(error: unknown, signs: AttemptSigns): StreamerError {
    if (error instanceof ConnectError) return this.#softened(error.at(this.#place));
    if (error instanceof RedisError) return this.#softened(refusal(error).at(this.#place));
    // With TLS 1.3 a client's certificate is refused only after the transport is open, which ends the pipeline.
    if (error instanceof StreamerError && error.cause instanceof TransportError) {
      return this.#failure(error.cause, signs);
    }
    if (error instanceof TransportError) {
      const final = error.kind === "certificate" || error.kind === "unsupported" || error.kind === "denied";
      const code = error.kind === "unsupported" ? "UNSUPPORTED" : "CONNECT";
      return new ConnectError(code, error.reason, { final, cause: error, place: this.#place });
    }
    const code = error instanceof StreamerError && error.code === "TIMEOUT" ? "TIMEOUT" : "CONNECT";
    return new ConnectError(code, whyFailed(error, signs), { final: false, cause: error, place: this.#place });
  }

  #explained(failure: unknown): unknown {
    const { explain } = this.#options;
    return explain !== undefined && failure instanceof ConnectError ? explain(failure) : failure;
  }

  /** If credentials were accepted once and may change, a refusal is not final. */
  #softened(error: ConnectError): ConnectError {
    const isFinal = error.code !== "AUTH" || !error.final || !this.#hasServed ||
      !mayChange(this.#options.identification);
    return isFinal ? error : error.passing();
  }
}

/** An endpoint for display: `host:port`, with brackets around an IPv6 address, or the path of a unix socket. */
export function endpointName(endpoint: Endpoint): string {
  if (endpoint.kind === "unix") return endpoint.path;
  const { hostname, port } = endpoint;
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}
