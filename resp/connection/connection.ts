// A connection that reconnects: it opens, is lost, waits at the gate and opens again, until it is closed or fails. Its owner
// decides about the commands that were in flight.

import { StreamerError } from "../errors.ts";
import { sleep } from "./clock.ts";
import { valueCommand } from "./command.ts";
import type { RespDecoder } from "../decoder.ts";
import { DISMISSED, type Ticket } from "./reconnect/gate.ts";
import type { ReplyLimits } from "../limits.ts";
import { ConnectError } from "./handshake/connect_error.ts";
import type { DemotionNotice } from "./reconnect/demotion.ts";
import type { Destination } from "./destination.ts";
import type { OpenConnection, RedisNode } from "./node.ts";
import type { PipelineOwner } from "./pipeline/pipeline.ts";

/** The owner of a connection. Its methods are called in this order: `up`, `down`, `up`, …, and possibly `failed`. */
export interface ConnectionOwner {
  /** The connection is ready. Called after each reconnect, too. */
  up(open: OpenConnection): void;
  /** The connection was lost. All waiters of its pipeline have been called before. */
  down(cause: StreamerError, open: OpenConnection): void;
  /** The connection does not reconnect any more: the error is final, or the attempts have run out. */
  failed(error: StreamerError): void;
  /** Its pipeline accepts bytes again. */
  writable(): void;
  /** Its server is a replica: nothing more may be sent. The connection is closed soon, and `down` is called then. */
  leaving?(open: OpenConnection): void;
  /** The server has sent a push. An exception ends the connection. Without this method, pushes are dropped. */
  push?(decoder: RespDecoder, open: OpenConnection): void;
}

/** Options of {@linkcode Connection}. */
export interface ConnectionOptions {
  /** An open connection that this one takes over. */
  readonly opened?: OpenConnection;
  /** Size of the receive buffer in bytes. @default {65536} */
  readonly capacity?: number;
  /** Whether a connection to a replica is closed only after all replies. Not for blocking reads. @default {false} */
  readonly drains?: boolean;
  /** Limits of all replies, if they are the same. @default {the limits of each waiter} */
  readonly replies?: ReplyLimits;
}

/** Its reply comes after the replies to all earlier commands. */
const PING = valueCommand(["PING"], { repeatable: true });

/** An open connection, and the gate's ticket for it. */
export interface Ticketed {
  readonly open: OpenConnection;
  readonly ticket: Ticket;
}

type State = { readonly kind: "idle" } | { readonly kind: "running" } | { readonly kind: "closed" };

/** Keeps one connection to a destination. */
export class Connection {
  readonly #destination: Destination;
  readonly #owner: ConnectionOwner;
  readonly #options: ConnectionOptions;
  readonly #closing = new AbortController();
  #state: State = { kind: "idle" };
  #open: OpenConnection | undefined;
  #left: OpenConnection | undefined; // the open one, if its server is a replica
  #unwatch: (() => void) | undefined;
  #prepared = 0; // bytes received before the real work of the open one

  constructor(destination: Destination, owner: ConnectionOwner, options: ConnectionOptions = {}) {
    this.#destination = destination;
    this.#owner = owner;
    this.#options = options;
  }

  /** The open connection that may be used, or `undefined`. */
  get current(): OpenConnection | undefined {
    return this.#left === undefined ? this.#open : undefined;
  }

  /** Opens the connection, also after it has failed. While it runs, and after it was closed, this does nothing. */
  start(): void {
    if (this.#state.kind !== "idle") return;
    this.#state = { kind: "running" };
    this.#run(this.#options.opened).catch((error) => {
      if (this.#closing.signal.aborted) return;
      this.#state = { kind: "idle" };
      this.#owner.failed(error);
    });
  }

  /**
   * The server refused a command because it is a replica. The connection is closed and dialled again, which resolves the node's name
   * again. The first time, this concerns all connections of the node. While there are only replicas, it concerns the refused
   * connections, at the pace of reconnecting.
   */
  demoted(cause: unknown): void {
    const open = this.#open;
    if (open === undefined || this.#left !== undefined) return;
    this.#destination.report(open.node, cause);
    this.#leave({ cause, atOnce: false }, open.node.demotions.refused(cause));
  }

  /**
   * The commands that the owner has sent after `up` to prepare its work are answered, such as killing a lost connection. These
   * replies do not count as service: a server that sends them and then closes the connection is still flapping.
   */
  prepared(): void {
    this.#prepared = this.#open?.pipeline.received ?? 0;
  }

  /** Closes the socket and stays closed. A second call does nothing. */
  close(): void {
    this.#state = { kind: "closed" };
    this.#unwatch?.();
    this.#closing.abort(new StreamerError("DISCONNECTED", "The connection was closed"));
    this.#open?.pipeline.end(new StreamerError("DISCONNECTED", "The connection was closed"));
  }

  async #run(opened: OpenConnection | undefined): Promise<never> {
    const { signal } = this.#closing;
    let next: Ticketed | undefined = opened && { open: opened, ticket: opened.node.gate.opened() };
    for (;; next = undefined) {
      const { open, ticket } = next ??
        await openThroughGate(this.#destination, { signal, capacity: this.#options.capacity });
      if (signal.aborted) {
        open.pipeline.end(new StreamerError("DISCONNECTED", "The connection was closed"));
        throw signal.reason;
      }
      this.#prepared = open.pipeline.received;
      const cause = await this.#serve(open);
      signal.throwIfAborted();
      open.node.gate.lost(ticket, { cause, served: open.pipeline.received > this.#prepared });
      this.#destination.report(open.node, cause);
    }
  }

  /** Sends nothing more, and closes the connection: at once, or after the last reply and the delay. */
  #leave({ cause, atOnce }: DemotionNotice, delay: number): void {
    const open = this.#open;
    if (open === undefined || (this.#left !== undefined && !atOnce)) return;
    if (this.#left === undefined) this.#owner.leaving?.(open);
    this.#left = open;
    const { pipeline } = open;
    const end = () => pipeline.end(new StreamerError("DISCONNECTED", "The server is no longer the primary", { cause }));
    const answered = this.#options.drains && !atOnce ? pipeline.call(PING).catch(() => {}) : Promise.resolve();
    answered.then(() => sleep(this.#destination.clock, delay, this.#closing.signal)).then(end, end);
  }

  /** Passes the open connection to the owner; resolves with the cause of its end. */
  #serve(open: OpenConnection): Promise<StreamerError> {
    return new Promise((resolve) => {
      const { name, events } = open.node;
      const ended = (cause: StreamerError) => {
        this.#unwatch?.();
        this.#open = this.#left = undefined;
        events.disconnect(this.#closing.signal.aborted ? { node: name } : { node: name, cause });
        this.#owner.down(cause, open);
        resolve(cause);
      };
      const wantsPushes = this.#owner.push !== undefined;
      const owner: PipelineOwner = {
        writable: () => this.#owner.writable(),
        ended,
        push: wantsPushes ? (decoder) => this.#owner.push?.(decoder, open) : undefined,
      };
      const { ending } = open.pipeline;
      if (ending !== undefined) return resolve(ending); // it ended before the owner got it
      if (this.#options.replies !== undefined) open.pipeline.unify(this.#options.replies);
      open.pipeline.own(owner);
      this.#open = open;
      this.#unwatch = open.node.demotions.watch((notice) => this.#leave(notice, 0));
      events.connect({ node: name });
      this.#owner.up(open);
    });
  }
}

/** Resolves the destination, waits at the node's gate and tries, until a connection is open. Rejects with a final error, or the signal's reason. */
export async function openThroughGate(
  destination: Destination,
  options: { readonly signal: AbortSignal; readonly capacity?: number },
): Promise<Ticketed> {
  const { signal } = options;
  for (;;) {
    const { node, ticket } = await admitted(destination, signal);
    try {
      const open = await node.open(options);
      node.gate.succeeded(ticket);
      return { open, ticket };
    } catch (error) {
      if (signal.aborted) node.gate.abandoned(ticket);
      else {
        node.gate.failed(ticket, error); // also if it is final: the next caller must be paced, too
        destination.report(node, error);
      }
      if (signal.aborted || isFinal(error)) throw error;
    }
  }
}

/** Resolves the destination, also after the wait at the gate, in which it may have changed. */
async function admitted(
  destination: Destination,
  signal: AbortSignal,
): Promise<{ readonly node: RedisNode; readonly ticket: Ticket }> {
  for (;;) {
    const node = await destination.resolve(signal);
    const ticket = await node.gate.enter(signal).catch((error) => {
      if (error === DISMISSED) return undefined;
      if (!signal.aborted) node.gaveUp(); // the attempts have run out
      throw error;
    });
    if (ticket === undefined) continue;
    if (!ticket.waited) return { node, ticket };
    let current: RedisNode | undefined;
    try {
      current = await destination.resolve(signal);
    } finally {
      if (current !== node) node.gate.abandoned(ticket);
    }
    if (current === node) return { node, ticket };
  }
}

function isFinal(error: unknown): boolean {
  return error instanceof ConnectError && error.final;
}
