// The connections of a router to one node: one for most commands, and one for commands with large replies.

import type { Command } from "../../resp/connection/command.ts";
import type { Destination } from "../../resp/connection/destination.ts";
import { CommandLane } from "../../resp/connection/lane.ts";
import type { OpenConnection } from "../../resp/connection/node.ts";
import { StreamerError } from "../../resp/errors.ts";
import type { RouteOptions } from "./router.ts";

/** Runs commands at one node. Each connection is opened on first use. */
export class NodeLanes {
  readonly #destination: Destination;
  #lane: CommandLane | undefined;
  #large: CommandLane | undefined;
  #closed = false;

  /** `opened` is a connection to the node that these lanes take over. */
  constructor(destination: Destination, opened?: OpenConnection) {
    this.#destination = destination;
    if (opened !== undefined) this.#lane = new CommandLane(destination, { opened });
  }

  /** Runs a command. If its reply may exceed the limits, it uses the connection for large replies. */
  run<T>(command: Command<T>, { large = false, ...options }: RouteOptions = {}): Promise<T> {
    if (this.#closed) return Promise.reject(closed());
    const lane = large ? this.#large ??= new CommandLane(this.#destination) : this.#usual();
    return lane.run(command, options);
  }

  /** Returns the connection for most commands, now or after a reconnect. */
  connection(options: { readonly signal: AbortSignal }): Promise<OpenConnection> {
    if (this.#closed) return Promise.reject(closed());
    return this.#usual().connection(options);
  }

  /** The connection for most commands, if it is open. */
  get current(): OpenConnection | undefined {
    return this.#lane?.current;
  }

  /** Whether no command waits. */
  get isIdle(): boolean {
    return (this.#lane?.isIdle ?? true) && (this.#large?.isIdle ?? true);
  }

  /** Rejects commands that wait for a connection, with a `RecalledError`. */
  recall(concerns: (command: Command<unknown>) => boolean): void {
    this.#lane?.recall(concerns);
    this.#large?.recall(concerns);
  }

  /** Closes the connections. Waiting commands reject with `DISCONNECTED`. A second call does nothing. */
  close(): void {
    this.#closed = true;
    this.#lane?.close();
    this.#large?.close();
  }

  #usual(): CommandLane {
    return this.#lane ??= new CommandLane(this.#destination);
  }
}

function closed(): StreamerError {
  return new StreamerError("DISCONNECTED", "The connection is closed");
}
