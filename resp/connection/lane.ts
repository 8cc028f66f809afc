// Commands as promises over a connection that comes back: what may be repeated is sent again after a cut, the rest
// rejects. It must not know any one command.

import { StreamerError } from "../errors.ts";
import type { RespDecoder } from "../decoder.ts";
import { type Command, isErrorReply, readError } from "./command.ts";
import { Connection, type ConnectionOptions, type ConnectionOwner } from "./connection.ts";
import type { OpenConnection, RedisNode } from "./node.ts";
import type { Waiter } from "./pipeline.ts";

interface Request {
  readonly command: Command<unknown>;
  readonly waiter: Waiter;
  readonly settled: () => boolean;
  readonly reject: (error: StreamerError) => void;
}

/** Most commands that wait on one lane, written or not; one more is refused. */
export const MAX_WAITING = 100_000;

/** A connection for commands that are awaited one by one. */
export class CommandLane {
  readonly #connection: Connection;
  readonly #queue = new Set<Request>(); // what waits for a connection, in its order
  #returned: Request[] = []; // what a cut has given back, in order
  #waiting = 0;
  #closed = false;

  constructor(node: RedisNode, options: ConnectionOptions = {}) {
    const owner: ConnectionOwner = {
      up: (open) => this.#up(open),
      down: () => this.#down(),
      failed: (error) => this.#failed(error),
      writable: () => {},
    };
    this.#connection = new Connection(node, owner, options);
    this.#connection.start();
  }

  /**
   * Sends a command, now or when the connection is back, and gives its reply.
   *
   * Rejects with what the server answered; with the signal's reason; with `DISCONNECTED` where the connection was
   * lost with the command under way and it must not be sent twice, or where there will be no connection any more.
   */
  run<T>(command: Command<T>, options: { readonly signal?: AbortSignal } = {}): Promise<T> {
    return new Promise((resolve, reject) => {
      const { signal } = options;
      if (signal?.aborted) return reject(signal.reason);
      if (this.#closed) return reject(closed());
      if (this.#waiting >= MAX_WAITING) {
        return reject(new StreamerError("BUFFER_FULL", `Cannot send a command as at most ${MAX_WAITING} may wait`));
      }
      this.#waiting++;
      let settled = false;
      const settle = (answer: () => void) => {
        if (settled) return;
        settled = true;
        this.#waiting--;
        signal?.removeEventListener("abort", abort);
        answer();
      };
      const abort = () => {
        this.#queue.delete(request);
        settle(() => reject(signal?.reason));
      };
      signal?.addEventListener("abort", abort, { once: true });
      const waiter: Waiter = {
        blocks: command.blocks,
        reply: (decoder) => this.#reply(decoder, command, settle, resolve, reject),
        lost: (cause, written) => {
          if (settled) return;
          if (this.#closed) request.reject(closed());
          else if (cause.code === "PROTOCOL") request.reject(cause); // asked again, it would be answered the same
          else if (!written || command.repeatable) this.#returned.push(request);
          else request.reject(unknownOutcome(command, cause));
        },
      };
      const request: Request = {
        command,
        waiter,
        settled: () => settled,
        reject: (error) => settle(() => reject(error)),
      };
      const open = this.#connection.current;
      if (open !== undefined) return open.pipeline.enqueue(command, waiter);
      this.#queue.add(request);
      this.#connection.start(); // after it had failed this begins a new round of attempts
    });
  }

  /** Closes the connection; what waits rejects with `DISCONNECTED`. Twice is harmless. */
  close(): void {
    this.#closed = true;
    this.#connection.close();
    for (const request of [...this.#returned.splice(0), ...this.#take()]) request.reject(closed());
  }

  #reply<T>(
    decoder: RespDecoder,
    command: Command<T>,
    settle: (answer: () => void) => void,
    resolve: (value: T) => void,
    reject: (error: unknown) => void,
  ): void {
    if (isErrorReply(decoder)) {
      const error = readError(decoder, command);
      return settle(() => reject(error));
    }
    try {
      const value = command.read(decoder);
      settle(() => resolve(value));
    } catch (error) {
      settle(() => reject(error));
      throw error;
    }
  }

  #up(open: OpenConnection): void {
    for (const request of this.#take()) open.pipeline.enqueue(request.command, request.waiter);
  }

  #down(): void {
    const later = this.#take();
    for (const request of [...this.#returned.splice(0), ...later]) if (!request.settled()) this.#queue.add(request);
  }

  #failed(error: StreamerError): void {
    for (const request of this.#take()) request.reject(error);
  }

  #take(): Request[] {
    const all = [...this.#queue];
    this.#queue.clear();
    return all;
  }
}

function closed(): StreamerError {
  return new StreamerError("DISCONNECTED", "Cannot send a command as the connection is closed");
}

function unknownOutcome(command: Command<unknown>, cause: StreamerError): StreamerError {
  const [name] = command.args;
  return new StreamerError("DISCONNECTED", `The connection was lost before ${name} was answered`, { cause });
}
