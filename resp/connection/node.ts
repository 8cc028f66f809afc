// One server to talk to: how it is reached and greeted, and the gate its connections share. It must not know what is
// said once a connection is ready.

import { RedisError, StreamerError } from "../errors.ts";
import type { RespLimits } from "../limits.ts";
import { type Dial, type Endpoint, TransportError } from "../transport/transport.ts";
import type { ReconnectOptions } from "./backoff.ts";
import type { Clock } from "./clock.ts";
import { ReconnectGate } from "./gate.ts";
import { ConnectError, type Credentials, handshake, refusal, type ServerInfo } from "./handshake.ts";
import { Pipeline } from "./pipeline.ts";

/** What is told of a node's connections. `node` is its address without credentials. */
export interface NodeEvents {
  connect(detail: { readonly node: string }): void;
  disconnect(detail: { readonly node: string; readonly cause?: unknown }): void;
  reconnect(
    detail: { readonly node: string; readonly attempt: number; readonly delay: number; readonly cause: unknown },
  ): void;
}

/** What a {@linkcode RedisNode} is made of. */
export interface RedisNodeOptions {
  readonly endpoint: Endpoint;
  readonly dial: Dial;
  readonly credentials: Credentials;
  /** Milliseconds for dialling and handshake together, and the longest silence while somebody waits. */
  readonly timeout: number;
  readonly reconnect: Required<ReconnectOptions>;
  readonly limits: Required<RespLimits>;
  readonly clock: Clock;
  readonly events: NodeEvents;
}

/** A connection that is ready for commands. */
export interface OpenConnection {
  readonly pipeline: Pipeline;
  readonly info: ServerInfo;
}

/** One server, and the making of connections to it. */
export class RedisNode {
  readonly #options: RedisNodeOptions;
  /** Its address, without credentials. */
  readonly name: string;
  /** Decides when a lost connection may be tried again. */
  readonly gate: ReconnectGate;
  #server: string | undefined;

  constructor(options: RedisNodeOptions) {
    this.#options = options;
    this.name = endpointName(options.endpoint);
    const { reconnect, clock, events } = options;
    this.gate = new ReconnectGate(reconnect, clock, (retry) => events.reconnect({ node: this.name, ...retry }));
  }

  /** The server's name and version, as in `"redis 8.0.6"`, as of the latest connection; `undefined` where it does not tell. */
  get server(): string | undefined {
    return this.#server;
  }

  get clock(): Clock {
    return this.#options.clock;
  }

  get timeout(): number {
    return this.#options.timeout;
  }

  /** What is accepted of it at most. */
  get limits(): Required<RespLimits> {
    return this.#options.limits;
  }

  get events(): NodeEvents {
    return this.#options.events;
  }

  /**
   * Dials and greets, once. Within {@linkcode timeout}, else it rejects with `TIMEOUT`.
   *
   * @throws {ConnectError} or the signal's reason.
   */
  async open(options: { readonly signal: AbortSignal; readonly capacity?: number }): Promise<OpenConnection> {
    const { endpoint, dial, timeout, clock, limits, credentials } = this.#options;
    const { signal, capacity } = options;
    signal.throwIfAborted();
    const attempt = new AbortController();
    const abort = () => attempt.abort(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    const late = new ConnectError("TIMEOUT", `Cannot connect to ${this.name} within ${timeout} ms`, false, undefined);
    const timer = clock.after(timeout, () => attempt.abort(late));
    const pipeline = new Pipeline({ timeout, clock, limits, capacity });
    const stop = () => pipeline.end(new StreamerError("DISCONNECTED", "The attempt to connect was given up"));
    attempt.signal.addEventListener("abort", stop, { once: true });
    try {
      const ready = handshake(pipeline, credentials);
      ready.catch(() => {}); // it fails with the dialling, whose error says more
      pipeline.open(await dial(endpoint, { sink: pipeline.sink, signal: attempt.signal }));
      const info = await ready;
      attempt.signal.throwIfAborted();
      this.#server = info.server;
      return { pipeline, info };
    } catch (error) {
      const failure = attempt.signal.aborted ? attempt.signal.reason : this.#failure(error);
      pipeline.end(new StreamerError("DISCONNECTED", "The connection could not be made ready"));
      throw failure;
    } finally {
      timer.stop();
      signal.removeEventListener("abort", abort);
      attempt.signal.removeEventListener("abort", stop);
    }
  }

  #failure(error: unknown): StreamerError {
    if (error instanceof ConnectError) return error;
    if (error instanceof RedisError) return refusal(error);
    if (error instanceof TransportError) {
      const final = error.kind === "certificate" || error.kind === "unsupported" || error.kind === "denied";
      const code = error.kind === "unsupported" ? "UNSUPPORTED" : "CONNECT";
      return new ConnectError(code, error.message, final, error);
    }
    const code = error instanceof StreamerError && error.code === "TIMEOUT" ? "TIMEOUT" : "CONNECT";
    return new ConnectError(code, `Cannot connect to ${this.name}`, false, error);
  }
}

/** An endpoint as it is shown: `host:port`, with brackets around an IPv6 address, or the path of a unix socket. */
export function endpointName(endpoint: Endpoint): string {
  if (endpoint.kind === "unix") return endpoint.path;
  const { hostname, port } = endpoint;
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}
