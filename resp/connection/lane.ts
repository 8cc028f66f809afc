// Commands as promises over a connection that reconnects. After a lost connection, idempotent commands are sent again, and others
// reject. If the server seems to close the connection because of one command, that command is sent alone until this is certain.

import { ProtocolError, RefusedReplyError, StreamerError } from "../errors.ts";
import type { RespDecoder } from "../decoder.ts";
import type { Clock, Timer } from "./clock.ts";
import { type Command, commandName, isErrorReply, readError } from "./command.ts";
import { Connection, type ConnectionOptions, type ConnectionOwner } from "./connection.ts";
import type { Destination } from "./destination.ts";
import type { OpenConnection } from "./node.ts";
import type { Pipeline, Waiter } from "./pipeline/pipeline.ts";
import { classOf } from "./server_errors.ts";
import { refusalText, Suspicion } from "./retry/suspicion.ts";

interface Request {
  readonly command: Command<unknown>;
  readonly waiter: Waiter;
  readonly settled: () => boolean;
  readonly reject: (error: StreamerError) => void;
  /** The time of the clock until which it waits for a connection. */
  readonly until: number;
  /** Maximum number of lost connections in a row. */
  readonly mostCuts: number;
  /** Runs while it waits for a connection. */
  timer: Timer | undefined;
  suspicion: Suspicion | undefined; // from the first connection on that was lost with it in flight
}

/** Options of {@linkcode CommandLane.run}. */
export interface RunOptions {
  readonly signal?: AbortSignal;
  /** Milliseconds for which the command waits for a connection. @default {Infinity} */
  readonly within?: number;
  /**
   * The number of connections in a row that are lost with the command in flight, after which it rejects with
   * {@linkcode RefusedReplyError}. For commands that can request less. They also reject at once if the reply exceeds a limit.
   * @default {Infinity}
   */
  readonly mostCuts?: number;
}

/** Maximum number of commands that wait on one lane, written or not. */
export const MAX_WAITING = 100_000;

/** There was no connection within the time for which a command waits. */
export class UnreachableError extends StreamerError {
  static override readonly name = "StreamerError";

  constructor({ name, failure }: Destination) {
    super("DISCONNECTED", `${name} could not be reached in time`, { cause: failure });
  }
}

/** The command waits no longer for this connection, since its destination is elsewhere now. It was not executed. */
export class RecalledError extends StreamerError {
  static override readonly name = "StreamerError";

  constructor({ name, failure }: Destination) {
    super("DISCONNECTED", `The command no longer waits for ${name}`, { cause: failure });
  }
}

/** A connection for commands that are awaited one by one. */
export class CommandLane {
  readonly #destination: Destination;
  readonly #clock: Clock;
  readonly #connection: Connection;
  readonly #queue = new Set<Request>(); // requests that wait for a connection, in their order
  #returned: { readonly request: Request; readonly cut: boolean }[] = []; // in order; cut: it was in flight
  readonly #seekers = new Set<PromiseWithResolvers<OpenConnection>>(); // callers that wait for the connection itself
  #alone: Request | undefined; // the suspected request in flight, after a PING was answered
  #isolating: Pipeline | undefined; // on which only suspected requests are sent, one by one
  #waiting = 0;
  #closed = false;

  constructor(destination: Destination, options: ConnectionOptions = {}) {
    this.#destination = destination;
    this.#clock = destination.clock;
    const owner: ConnectionOwner = {
      up: (open) => this.#up(open),
      down: (cause, open) => this.#down(cause, open),
      failed: (error) => this.#failed(error),
      writable: () => {},
    };
    this.#connection = new Connection(destination, owner, { ...options, drains: true });
    this.#connection.start();
  }

  /**
   * Sends a command, now or after a reconnect, and returns its reply.
   *
   * Rejects with the server's refusal, or with the signal's reason. Further errors:
   *
   * - `DISCONNECTED`: the connection was lost with a command in flight that must not be sent twice, or there is no connection in time.
   * - `PROTOCOL`: the reply is invalid. Idempotent commands are sent a second time first.
   * - {@linkcode RefusedReplyError}: the server repeatedly closes the connection instead of answering.
   */
  run<T>(command: Command<T>, options: RunOptions = {}): Promise<T> {
    return new Promise((resolve, reject) => {
      const { signal, within = Infinity, mostCuts = Infinity } = options;
      if (signal?.aborted) return reject(signal.reason);
      if (this.#closed) return reject(closed());
      if (this.#waiting >= MAX_WAITING) {
        return reject(new StreamerError("BUFFER_FULL", `${MAX_WAITING} commands are waiting already`));
      }
      this.#waiting++;
      let settled = false;
      const settle = (answer: () => void) => {
        if (settled) return;
        settled = true;
        this.#waiting--;
        signal?.removeEventListener("abort", abort);
        request.timer?.stop();
        answer();
      };
      let unreadable = false; // whether the last reply was invalid
      const abort = () => {
        this.#queue.delete(request);
        settle(() => reject(signal?.reason));
      };
      signal?.addEventListener("abort", abort, { once: true });
      const waiter: Waiter = {
        blocks: command.blocks,
        limits: command.limits,
        reply: (decoder) => this.#reply(decoder, command, (answer) => settle(() => answer(resolve, reject))),
        lost: (cause, written) => {
          if (settled) return;
          if (this.#closed) request.reject(closed());
          else if (cause.code === "PROTOCOL") {
            const asksForLess = mostCuts < Infinity && isTooLarge(cause);
            if (unreadable || !command.repeatable || asksForLess) return request.reject(cause);
            unreadable = true; // once may be an accident
            this.#returned.push({ request, cut: false });
          } else if (!written || command.repeatable) this.#returned.push({ request, cut: written });
          else request.reject(unknownOutcome(command, cause));
        },
      };
      const request: Request = {
        command,
        waiter,
        settled: () => settled,
        reject: (error) => settle(() => reject(error)),
        until: within === Infinity ? Infinity : this.#clock.now() + within,
        mostCuts,
        timer: undefined,
        suspicion: undefined,
      };
      const open = this.#connection.current;
      if (open !== undefined && this.#isolating === undefined) return open.pipeline.enqueue(command, waiter);
      this.#await(request);
      this.#connection.start(); // after a failure, this starts a new round of attempts
    });
  }

  /**
   * Returns the connection, now or after a reconnect, for several commands that must reach the same server. Commands on it are not
   * sent again after it is lost.
   *
   * Rejects like {@linkcode run} if there is no connection.
   */
  async connection(options: { readonly signal: AbortSignal }): Promise<OpenConnection> {
    const { signal } = options;
    signal.throwIfAborted();
    if (this.#closed) throw closed();
    const { current } = this.#connection;
    if (current !== undefined && this.#isolating === undefined) return current;
    const seeker = Promise.withResolvers<OpenConnection>();
    const abort = () => seeker.reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    this.#seekers.add(seeker);
    this.#connection.start();
    try {
      return await seeker.promise;
    } finally {
      this.#seekers.delete(seeker);
      signal.removeEventListener("abort", abort);
    }
  }

  /** The connection, if it is open. */
  get current(): OpenConnection | undefined {
    return this.#connection.current;
  }

  /** Whether no command and no caller waits for it. */
  get isIdle(): boolean {
    return this.#waiting === 0 && this.#seekers.size === 0;
  }

  /**
   * Rejects the commands that wait for a connection and for which `concerns` returns true, with {@linkcode RecalledError}: they were not
   * executed, or can be repeated. Commands in flight are not affected.
   */
  recall(concerns: (command: Command<unknown>) => boolean): void {
    for (const request of [...this.#queue]) {
      if (!concerns(request.command)) continue;
      this.#queue.delete(request);
      request.reject(new RecalledError(this.#destination));
    }
  }

  /** Closes the connection. Waiting commands reject with `DISCONNECTED`. A second call does nothing. */
  close(): void {
    this.#closed = true;
    this.#connection.close();
    for (const { request } of this.#returned.splice(0)) request.reject(closed());
    for (const request of this.#take()) request.reject(closed());
    for (const seeker of this.#seekers) seeker.reject(closed());
  }

  #reply<T>(
    decoder: RespDecoder,
    command: Command<T>,
    settle: (answer: (resolve: (value: T) => void, reject: (error: unknown) => void) => void) => void,
  ): void {
    if (isErrorReply(decoder)) {
      const error = readError(decoder, command);
      settle((_, reject) => reject(error));
      if (classOf(error) === "role-changed") this.#connection.demoted(error);
      return;
    }
    const value = command.read(decoder); // an exception ends the connection, and is the cause of its loss
    settle((resolve) => resolve(value));
  }

  /** Keeps a request until there is a connection, or its time has passed. */
  #await(request: Request): void {
    this.#queue.add(request);
    if (request.until === Infinity) return;
    request.timer = this.#clock.after(request.until - this.#clock.now(), () => {
      if (this.#queue.delete(request)) request.reject(new UnreachableError(this.#destination));
    });
  }

  #up(open: OpenConnection): void {
    const { pipeline } = open;
    const suspects = [...this.#queue].filter(({ suspicion }) => suspicion?.isSuspect);
    if (suspects.length === 0) return this.#sendAll(open);
    this.#isolating = pipeline;
    this.#isolate(suspects, open).then(() => {
      if (!this.#isIsolating(open)) return; // nothing more may be sent over it
      this.#isolating = undefined;
      this.#sendAll(open);
    });
  }

  #sendAll(open: OpenConnection): void {
    for (const request of this.#take()) open.pipeline.enqueue(request.command, request.waiter);
    for (const seeker of this.#seekers) seeker.resolve(open);
  }

  /** Sends one after another, each after a PING that was answered. If the connection is lost again, it is clear with which of them. */
  async #isolate(suspects: readonly Request[], open: OpenConnection): Promise<void> {
    const { pipeline } = open;
    for (const request of suspects) {
      if (
        !await request.suspicion?.ask(pipeline, {
          key: request.command.key,
          losses: open.node.gate.losses,
        }) || !this.#isIsolating(open)
      ) return;
      this.#queue.delete(request);
      request.timer?.stop();
      this.#rejectCertain(request, undefined);
      if (request.settled()) continue; // or cancelled by its caller
      this.#alone = request;
      await new Promise<void>((resolve) => {
        pipeline.enqueue(request.command, {
          ...request.waiter,
          reply(decoder) {
            resolve();
            request.waiter.reply(decoder);
          },
          lost(cause, written) {
            resolve();
            request.waiter.lost(cause, written);
          },
        });
      });
      if (this.#isolating === pipeline) this.#alone = undefined;
    }
  }

  #isIsolating(open: OpenConnection): boolean {
    return this.#isolating === open.pipeline && this.#connection.current === open;
  }

  #down(cause: StreamerError, { pipeline }: OpenConnection): void {
    const alone = this.#alone;
    this.#alone = this.#isolating = undefined;
    const later = this.#take();
    for (const { request, cut } of this.#returned.splice(0)) {
      if (request.settled()) continue;
      if (cut && cause.code !== "PROTOCOL") { // otherwise it was closed here, for the reply to another command
        request.suspicion ??= new Suspicion();
        request.suspicion.cut({ alone: request === alone, heard: pipeline.heardOfNext });
      }
      this.#rejectCertain(request, cause);
      if (!request.settled()) this.#await(request);
    }
    for (const request of later) this.#await(request);
  }

  /** Rejects a request that the server does not answer, or that its caller can split into smaller ones. */
  #rejectCertain({ command, suspicion, mostCuts, reject }: Request, cause: StreamerError | undefined): void {
    if (suspicion === undefined) return;
    const name = commandName(command);
    if (suspicion.isCertain) reject(new RefusedReplyError(refusalText(`get the reply to ${name}`), { cause }));
    else if (suspicion.cuts >= mostCuts) {
      const text = `The connection was lost ${suspicion.cuts} times in a row before ${name} was answered`;
      reject(new RefusedReplyError(text, { cause }));
    }
  }

  #failed(error: StreamerError): void {
    for (const request of this.#take()) request.reject(error);
    for (const seeker of this.#seekers) seeker.reject(error);
  }

  #take(): Request[] {
    const all = [...this.#queue];
    this.#queue.clear();
    for (const { timer } of all) timer?.stop();
    return all;
  }
}

function closed(): StreamerError {
  return new StreamerError("DISCONNECTED", "The connection is closed");
}

/** Whether a reply is valid so far and too large. A wrong digit in a small reply looks the same. */
function isTooLarge(cause: StreamerError): boolean {
  return cause instanceof ProtocolError && cause.tooLarge;
}

function unknownOutcome(command: Command<unknown>, cause: StreamerError): StreamerError {
  const [name] = command.args;
  return new StreamerError("DISCONNECTED", `The connection was lost before ${name} was answered`, { cause });
}
