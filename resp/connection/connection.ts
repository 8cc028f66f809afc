// A connection that comes back: it opens, is lost, waits at the gate and opens again, until it is closed or cannot be.
// What to do about commands that were under way is its owner's business.

import { StreamerError } from "../errors.ts";
import type { ConnectError } from "./handshake.ts";
import type { OpenConnection, RedisNode } from "./node.ts";
import type { PipelineOwner } from "./pipeline.ts";

/** Who is told how a connection fares, in this order: `up`, `down`, `up`, …, and perhaps `failed`. */
export interface ConnectionOwner {
  /** It is ready. Called anew after each reconnect. */
  up(open: OpenConnection): void;
  /** It was lost, after everybody who waited on its pipeline has been told. */
  down(cause: StreamerError, open: OpenConnection): void;
  /** It will not come back by itself: trying again cannot help, or the attempts have run out. */
  failed(error: StreamerError): void;
  /** Its pipeline takes bytes again. */
  writable(): void;
}

/** What a {@linkcode Connection} can be told. */
export interface ConnectionOptions {
  /** One that is open already and belongs to this connection from now on. */
  readonly opened?: OpenConnection;
  /** Bytes of the receive buffer. @default {65536} */
  readonly capacity?: number;
}

type State = { readonly kind: "idle" } | { readonly kind: "running" } | { readonly kind: "closed" };

/** Keeps one connection to a node. */
export class Connection {
  readonly #node: RedisNode;
  readonly #owner: ConnectionOwner;
  readonly #options: ConnectionOptions;
  readonly #closing = new AbortController();
  #state: State = { kind: "idle" };
  #open: OpenConnection | undefined;

  constructor(node: RedisNode, owner: ConnectionOwner, options: ConnectionOptions = {}) {
    this.#node = node;
    this.#owner = owner;
    this.#options = options;
  }

  /** The node it leads to. */
  get node(): RedisNode {
    return this.#node;
  }

  /** What is open now, or `undefined`. */
  get current(): OpenConnection | undefined {
    return this.#open;
  }

  /** Opens it; again, after it failed. While it runs, or after it was closed, this does nothing. */
  start(): void {
    if (this.#state.kind !== "idle") return;
    this.#state = { kind: "running" };
    this.#run(this.#options.opened).catch((error) => {
      if (this.#closing.signal.aborted) return;
      this.#state = { kind: "idle" };
      this.#owner.failed(error);
    });
  }

  /** Closes the socket and stays closed. Twice is harmless. */
  close(): void {
    this.#state = { kind: "closed" };
    this.#closing.abort(new StreamerError("DISCONNECTED", "The connection was closed by its owner"));
    this.#open?.pipeline.end(new StreamerError("DISCONNECTED", "The connection was closed by its owner"));
  }

  async #run(opened: OpenConnection | undefined): Promise<never> {
    const { signal } = this.#closing;
    for (let open = opened;; open = undefined) {
      open ??= await this.#reopen();
      if (signal.aborted) {
        open.pipeline.end(new StreamerError("DISCONNECTED", "The connection was closed by its owner"));
        throw signal.reason;
      }
      const cause = await this.#serve(open);
      signal.throwIfAborted();
      this.#node.gate.lost(cause);
    }
  }

  /** Waits at the gate and tries, until it is open. */
  async #reopen(): Promise<OpenConnection> {
    const { gate } = this.#node;
    const { signal } = this.#closing;
    for (;;) {
      await gate.enter(signal);
      try {
        const open = await this.#node.open({ signal, capacity: this.#options.capacity });
        gate.succeeded();
        return open;
      } catch (error) {
        if (signal.aborted || isFinal(error)) {
          gate.abandoned();
          throw error;
        }
        gate.failed(error);
      }
    }
  }

  /** Hands it to the owner; resolves with the cause of its end. */
  #serve(open: OpenConnection): Promise<StreamerError> {
    return new Promise((resolve) => {
      const { name, events } = this.#node;
      const ended = (cause: StreamerError) => {
        this.#open = undefined;
        events.disconnect(this.#closing.signal.aborted ? { node: name } : { node: name, cause });
        this.#owner.down(cause, open);
        resolve(cause);
      };
      const owner: PipelineOwner = { writable: () => this.#owner.writable(), ended };
      const { ending } = open.pipeline;
      if (ending !== undefined) return resolve(ending); // it ended before anybody knew of it
      open.pipeline.own(owner);
      this.#open = open;
      events.connect({ node: name });
      this.#owner.up(open);
    });
  }
}

function isFinal(error: unknown): error is ConnectError {
  return error instanceof StreamerError && "final" in error && error.final === true;
}
