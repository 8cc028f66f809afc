// One open connection: writes bytes in order, matches replies to their waiters, passes pushes to its owner, and ends once.

import { RespDecoder } from "../../decoder.ts";
import { RespEncoder } from "../../encoder.ts";
import { StreamerError } from "../../errors.ts";
import type { ReplyLimits, RespLimits } from "../../limits.ts";
import type { Transport, TransportSink } from "../../transport/transport.ts";
import type { Clock, Timer } from "../clock.ts";
import { type Command, isErrorReply, readError, valueCommand } from "../command.ts";
import { Queue } from "./queue.ts";
import { UNASKED_REPLY } from "../../reply_limits.ts";
import { WriteWatch } from "./write_watch.ts";

/** Waits for one reply. */
export interface Waiter {
  /** Milliseconds for which the command blocks before its reply. @default {0} */
  readonly blocks?: number;
  /** Limits of the reply. @default {the limits of the pipeline} */
  readonly limits?: ReplyLimits;
  /** Reads the decoder's current reply. An exception counts as a violation of the protocol and ends the pipeline. */
  reply(decoder: RespDecoder): void;
  /** The pipeline has ended before the reply. The code is `PROTOCOL` if this reply is invalid. `written`: bytes of the command may have been sent. */
  lost(cause: StreamerError, written: boolean): void;
}

/** The owner of a pipeline, whose methods are its events. */
export interface PipelineOwner {
  /** The transport accepts bytes again after it was full. */
  writable(): void;
  /** The end. Called once, after all waiters. */
  ended(cause: StreamerError): void;
  /**
   * The decoder's current reply is a push. An exception counts as a violation of the protocol and ends the pipeline. Without this
   * method, pushes are dropped.
   */
  push?(decoder: RespDecoder): void;
}

/** Options of {@linkcode Pipeline}. */
export interface PipelineOptions {
  /** Longest silence in milliseconds of a server that has to answer. After that the connection counts as lost. */
  readonly timeout: number;
  readonly clock: Clock;
  readonly limits?: RespLimits;
  /** Size of the receive buffer in bytes. @default {65536} */
  readonly capacity?: number;
}

/** Bytes that are passed to the transport at once. A connection that sends as many within the timeout does not count as lost. */
const PIECE = 64 * 1024;
/** Bytes by which another protocol is recognised. */
const UNREAD = 64;
/** Milliseconds for which bytes may still arrive after the timeout, since this process may have been suspended. */
const SECOND_LOOK = 50;

/**
 * Matches replies to waiters in their order. It ends at any doubt (a violation of the protocol, a reply without a waiter, silence after
 * the timeout), so that no reply can reach the caller of another command.
 *
 * There are two ways of writing, with one common order. {@linkcode call} collects commands and writes them once a tick.
 * {@linkcode send} writes bytes that its caller has encoded, at once.
 */
export class Pipeline {
  readonly #decoder: RespDecoder;
  readonly #timeout: number;
  readonly #clock: Clock;
  readonly #waiting = new Queue<Waiter>();
  #owner: PipelineOwner | undefined;
  #transport: Transport | undefined;
  #busy = true; // until there is a transport
  #end: StreamerError | undefined;
  #ended: PromiseWithResolvers<StreamerError> | undefined;
  #encoder: RespEncoder | undefined;
  #unsent: Waiter[] = [];
  #flushing = false;
  #heard = 0;
  #bytesIn = 0;
  #heardOfNext: number | undefined;
  #uniform = false; // whether all replies have the same limits
  #timer: Timer | undefined;
  readonly #writes: WriteWatch;

  constructor(options: PipelineOptions) {
    this.#decoder = new RespDecoder({
      limits: options.limits,
      pushLimits: UNASKED_REPLY,
      capacity: options.capacity,
    });
    this.#timeout = options.timeout;
    this.#clock = options.clock;
    this.#writes = new WriteWatch(options.timeout, options.clock);
  }

  /** The receiver of the transport's bytes. */
  readonly sink: TransportSink = {
    space: () => this.#decoder.space(),
    received: (count) => this.#received(count),
    closed: (cause) => this.#closed(cause),
  };

  /** The transport is open: earlier commands are sent. */
  open(transport: Transport): void {
    if (this.#end !== undefined) return transport.close();
    this.#transport = transport;
    this.#busy = false;
    this.#flush();
  }

  /** Sets the owner. */
  own(owner: PipelineOwner): void {
    this.#owner = owner;
  }

  /**
   * Sets the same limits for all following replies. To look at the limits of each waiter takes 7 to 10 ns of CPU, of about 150 for the
   * reply to an XADD.
   */
  unify(limits: ReplyLimits): void {
    this.#decoder.narrow(limits);
    this.#uniform = true;
  }

  /** The cause of its end, if it has ended. */
  get ending(): StreamerError | undefined {
    return this.#end;
  }

  /** Bytes of the next reply when the other side closed the connection. `undefined` if it has not ended, or for another reason. */
  get heardOfNext(): number | undefined {
    return this.#heardOfNext;
  }

  /** Resolves with the cause of its end. */
  whenEnded(): Promise<StreamerError> {
    this.#ended ??= Promise.withResolvers<StreamerError>();
    if (this.#end !== undefined) this.#ended.resolve(this.#end);
    return this.#ended.promise;
  }

  /** Whether {@linkcode send} may be called now. */
  get ready(): boolean {
    return !this.#busy && this.#unsent.length === 0 && this.#end === undefined;
  }

  /** Bytes received so far. */
  get received(): number {
    return this.#bytesIn;
  }

  /** The first bytes received that belong to no reply: at most 64, copied. */
  get unread(): Uint8Array {
    return this.#decoder.unread(UNREAD);
  }

  /** Commands that are written and not answered. */
  get inFlight(): number {
    return this.#waiting.length;
  }

  /** Adds a waiter for the next reply. Call it in the order in which the bytes are sent. */
  expect(waiter: Waiter): void {
    if (this.#waiting.length === 0) this.#watch();
    this.#waiting.push(waiter);
  }

  /** Writes complete commands for which {@linkcode expect} was called. Only while {@linkcode ready}. */
  send(bytes: Uint8Array): void {
    this.#write(bytes, 0);
  }

  /**
   * Sends a command together with all others of this tick, and returns its reply. Rejects with the server's refusal, with the cause of
   * the pipeline's end, or with the signal's reason. In the last case the reply is discarded later.
   */
  call<T>(command: Command<T>, options: { readonly signal?: AbortSignal } = {}): Promise<T> {
    return new Promise((resolve, reject) => {
      const { signal } = options;
      if (signal?.aborted) return reject(signal.reason);
      const abort = () => reject(signal?.reason);
      signal?.addEventListener("abort", abort, { once: true });
      this.enqueue(command, {
        blocks: command.blocks,
        limits: command.limits,
        reply(decoder) {
          signal?.removeEventListener("abort", abort);
          if (isErrorReply(decoder)) return reject(readError(decoder, command));
          try {
            resolve(command.read(decoder));
          } catch (error) {
            reject(error);
            throw error;
          }
        },
        lost(cause) {
          signal?.removeEventListener("abort", abort);
          reject(cause);
        },
      });
    });
  }

  /** Sends a command together with all others of this tick, and calls the waiter. */
  enqueue(command: Command<unknown>, waiter: Waiter): void {
    if (this.#end !== undefined) return waiter.lost(this.#end, false);
    const encoder = this.#encoder ??= new RespEncoder();
    if (command.encoded === undefined) encoder.command(command.args);
    else encoder.append(command.encoded);
    this.#unsent.push(waiter);
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  /** Writes the commands of {@linkcode enqueue} now, without waiting for the end of the tick. */
  flush(): void {
    this.#flush();
  }

  /** Ends the pipeline: closes the socket, then calls all waiters, then the owner. A second call does nothing. */
  end(cause: StreamerError): void {
    if (this.#end !== undefined) return;
    this.#end = cause;
    this.#timer?.stop();
    this.#writes.stop();
    this.#transport?.close();
    const told = cause.code === "PROTOCOL" ? afterViolation(cause) : cause;
    for (const waiter of this.#waiting.drain()) waiter.lost(told, true);
    const unsent = this.#unsent;
    this.#unsent = [];
    this.#encoder = undefined;
    for (const waiter of unsent) waiter.lost(told, false);
    this.#ended?.resolve(cause);
    this.#owner?.ended(cause);
  }

  /** Writes in pieces, so that a large message on a slow connection shows progress. */
  #write(bytes: Uint8Array, from: number): void {
    for (let at = from; at < bytes.length; at += PIECE) {
      const piece = bytes.length <= PIECE ? bytes : bytes.subarray(at, at + PIECE);
      const full = this.#transport?.write(piece);
      if (this.#writes.wrote(piece.length)) this.#alive();
      if (full === undefined) continue;
      this.#busy = true;
      this.#writes.waits();
      full.then(() => this.#taken(bytes, at + PIECE));
      return;
    }
  }

  /** The transport has taken a piece. */
  #taken(bytes: Uint8Array, from: number): void {
    this.#busy = false;
    if (this.#end !== undefined) return;
    if (this.#writes.taken()) this.#alive();
    this.#write(bytes, from);
    if (this.#busy) return;
    this.#flush();
    if (this.ready) this.#owner?.writable();
  }

  /** The server has sent bytes, or has received some. */
  #alive(): void {
    this.#heard = this.#clock.now();
    this.#writes.alive();
  }

  #flush(): void {
    if (this.#busy || this.#end !== undefined || this.#encoder === undefined || this.#unsent.length === 0) return;
    const unsent = this.#unsent;
    this.#unsent = [];
    for (const waiter of unsent) this.expect(waiter);
    this.send(this.#encoder.take());
  }

  #closed(cause: unknown): void {
    if (this.#end === undefined) this.#heardOfNext = this.#decoder.buffered;
    this.end(new StreamerError("DISCONNECTED", "The connection was closed", { cause }));
  }

  #received(count: number): void {
    const decoder = this.#decoder;
    let waiter: Waiter | undefined;
    try {
      decoder.received(count);
      this.#bytesIn += count;
      this.#alive();
      while (this.#end === undefined) {
        if (!this.#uniform) {
          const next = this.#waiting.peek();
          decoder.narrow(next === undefined ? UNASKED_REPLY : next.limits);
        }
        if (!decoder.advance()) return;
        if (decoder.isPush()) {
          this.#pushed(decoder);
          continue;
        }
        waiter = this.#waiting.shift();
        if (waiter === undefined) return this.end(unsolicited(decoder));
        waiter.reply(decoder);
        waiter = undefined;
      }
    } catch (error) {
      const cause = violation("reply", error);
      if (this.#end === undefined) (waiter ?? this.#waiting.shift())?.lost(cause, true); // the invalid reply is this one's
      this.end(cause);
    }
  }

  /** Passes a push to the owner. If that throws, no reply of a waiter is invalid. */
  #pushed(decoder: RespDecoder): void {
    try {
      this.#owner?.push?.(decoder);
    } catch (error) {
      this.end(violation("push", error));
    }
  }

  /** Watches for silence while there are waiters. It is one timer, which is set again only when it runs out. */
  #watch(): void {
    this.#heard = this.#clock.now();
    this.#timer ??= this.#clock.after(this.#patience(), () => this.#look(false));
  }

  #patience(): number {
    return this.#timeout + (this.#waiting.peek()?.blocks ?? 0);
  }

  #look(again: boolean): void {
    this.#timer = undefined;
    if (this.#end !== undefined || this.#waiting.length === 0) return;
    const rest = this.#heard + this.#patience() - this.#clock.now();
    if (rest > 0) this.#timer = this.#clock.after(rest, () => this.#look(false));
    else if (!again) this.#timer = this.#clock.after(SECOND_LOOK, () => this.#look(true));
    else {this.end(
        new StreamerError("TIMEOUT", `No reply within ${this.#patience()} ms`),
      );}
  }
}

function violation(what: string, error: unknown): StreamerError {
  return error instanceof StreamerError ? error : new StreamerError("PROTOCOL", `Invalid ${what}`, { cause: error });
}

/** The error of waiters whose own reply was not invalid. */
function afterViolation(cause: StreamerError): StreamerError {
  return new StreamerError("DISCONNECTED", "The connection was closed after an invalid reply", { cause });
}

/** A server may send the reason before it closes a connection: too many clients, protected mode. */
function unsolicited(decoder: RespDecoder): StreamerError {
  if (isErrorReply(decoder)) return readError(decoder, valueCommand(["(no command)"]));
  return new StreamerError("PROTOCOL", "The server sent a reply that belongs to no command");
}
