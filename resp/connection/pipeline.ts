// One live connection: bytes out in order, replies matched to who waits for them, and one end. It must not know how
// it was opened, nor what happens after its end.

import { RespDecoder } from "../decoder.ts";
import { RespEncoder } from "../encoder.ts";
import { StreamerError } from "../errors.ts";
import type { RespLimits } from "../limits.ts";
import type { Transport, TransportSink } from "../transport/transport.ts";
import type { Clock, Timer } from "./clock.ts";
import { type Command, isErrorReply, readError, valueCommand } from "./command.ts";
import { Queue } from "./queue.ts";

/** Who waits for one reply. */
export interface Waiter {
  /** Milliseconds the server may be silent on purpose before this reply. @default {0} */
  readonly blocks?: number;
  /** The decoder stands on the reply. What it throws is taken for a violation of the protocol and ends the pipeline. */
  reply(decoder: RespDecoder): void;
  /** The pipeline ended first; with `PROTOCOL` if it was this reply that broke the protocol. `written` tells whether any byte of the command may have left. */
  lost(cause: StreamerError, written: boolean): void;
}

/** Who is told about a pipeline. */
export interface PipelineOwner {
  /** The transport takes bytes again after having been full. */
  writable(): void;
  /** The end, once, after every waiter has been told. */
  ended(cause: StreamerError): void;
}

/** What a {@linkcode Pipeline} needs. */
export interface PipelineOptions {
  /** Longest silence in milliseconds while somebody waits; beyond it the connection is presumed dead. */
  readonly timeout: number;
  readonly clock: Clock;
  readonly limits?: RespLimits;
  /** Bytes of the receive buffer. @default {65536} */
  readonly capacity?: number;
}

/** Bytes handed to the transport at once. */
const PIECE = 256 * 1024;
/** After the timeout has passed, how long to look once more whether bytes came: this process may have been the one that slept. */
const SECOND_LOOK = 50;

/**
 * Matches replies to waiters, first come, first served. Any doubt about the framing (a violation, a reply nobody
 * waits for, silence past the timeout) ends it, so that no reply ever reaches another command's caller.
 *
 * Writing has two ways, kept in one order: {@linkcode call} gathers commands and writes once a tick;
 * {@linkcode send} writes bytes its caller has encoded, at once.
 */
export class Pipeline {
  readonly #decoder: RespDecoder;
  readonly #timeout: number;
  readonly #clock: Clock;
  readonly #waiting = new Queue<Waiter>();
  #owner: PipelineOwner | undefined;
  #transport: Transport | undefined;
  #busy = true; // until a transport is there
  #end: StreamerError | undefined;
  #ended: PromiseWithResolvers<StreamerError> | undefined;
  #encoder: RespEncoder | undefined;
  #unsent: Waiter[] = [];
  #flushing = false;
  #heard = 0;
  #timer: Timer | undefined;

  constructor(options: PipelineOptions) {
    this.#decoder = new RespDecoder({ limits: options.limits, capacity: options.capacity });
    this.#timeout = options.timeout;
    this.#clock = options.clock;
  }

  /** What the transport is given to put its bytes into. */
  readonly sink: TransportSink = {
    space: () => this.#decoder.space(),
    received: (count) => this.#received(count),
    closed: (cause) => this.end(new StreamerError("DISCONNECTED", "The connection was closed", { cause })),
  };

  /** The transport is open: what was called before goes out. */
  open(transport: Transport): void {
    if (this.#end !== undefined) return transport.close();
    this.#transport = transport;
    this.#busy = false;
    this.#flush();
  }

  /** Whom to tell from now on. */
  own(owner: PipelineOwner): void {
    this.#owner = owner;
  }

  /** Why it ended, once it has. */
  get ending(): StreamerError | undefined {
    return this.#end;
  }

  /** Resolves with the cause of its end, when that has come. */
  whenEnded(): Promise<StreamerError> {
    this.#ended ??= Promise.withResolvers<StreamerError>();
    if (this.#end !== undefined) this.#ended.resolve(this.#end);
    return this.#ended.promise;
  }

  /** Whether {@linkcode send} may be called now. */
  get ready(): boolean {
    return !this.#busy && this.#unsent.length === 0 && this.#end === undefined;
  }

  /** Commands written and not yet answered. */
  get inFlight(): number {
    return this.#waiting.length;
  }

  /** The next reply that nobody waits for yet is this one's. Call it in the order in which the bytes are sent. */
  expect(waiter: Waiter): void {
    if (this.#waiting.length === 0) this.#watch();
    this.#waiting.push(waiter);
  }

  /** Writes whole commands for which {@linkcode expect} has been called. Only while {@linkcode ready}. */
  send(bytes: Uint8Array): void {
    this.#write(bytes, 0);
  }

  /**
   * Sends a command with all others of this tick and gives its reply. Rejects with what the server answered, with
   * the cause of the pipeline's end, or with the signal's reason: then the reply is discarded when it comes.
   */
  call<T>(command: Command<T>, options: { readonly signal?: AbortSignal } = {}): Promise<T> {
    return new Promise((resolve, reject) => {
      const { signal } = options;
      if (signal?.aborted) return reject(signal.reason);
      const abort = () => reject(signal?.reason);
      signal?.addEventListener("abort", abort, { once: true });
      this.enqueue(command, {
        blocks: command.blocks,
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

  /** Sends a command with all others of this tick; the waiter is told of its reply, or that there will be none. */
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

  /** Writes what {@linkcode enqueue} has gathered, without waiting for the end of the tick: where the server would wait for it. */
  flush(): void {
    this.#flush();
  }

  /** Ends it: everybody who waits is told, then the owner; the socket closes. Twice is harmless. */
  end(cause: StreamerError): void {
    if (this.#end !== undefined) return;
    this.#end = cause;
    this.#timer?.stop();
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

  /** Writes in pieces, so that a large message on a slow line shows that it moves. */
  #write(bytes: Uint8Array, from: number): void {
    for (let at = from; at < bytes.length; at += PIECE) {
      const piece = bytes.length <= PIECE ? bytes : bytes.subarray(at, at + PIECE);
      const full = this.#transport?.write(piece);
      if (full === undefined) continue;
      this.#busy = true;
      full.then(() => this.#taken(bytes, at + PIECE));
      return;
    }
  }

  /** The transport has taken a piece: that is no silence. */
  #taken(bytes: Uint8Array, from: number): void {
    this.#busy = false;
    if (this.#end !== undefined) return;
    this.#heard = this.#clock.now();
    this.#write(bytes, from);
    if (this.#busy) return;
    this.#flush();
    if (this.ready) this.#owner?.writable();
  }

  #flush(): void {
    if (this.#busy || this.#end !== undefined || this.#encoder === undefined || this.#unsent.length === 0) return;
    const unsent = this.#unsent;
    this.#unsent = [];
    for (const waiter of unsent) this.expect(waiter);
    this.send(this.#encoder.take());
  }

  #received(count: number): void {
    const decoder = this.#decoder;
    let waiter: Waiter | undefined;
    try {
      decoder.received(count);
      this.#heard = this.#clock.now();
      while (this.#end === undefined && decoder.advance()) {
        if (decoder.isPush()) continue;
        waiter = this.#waiting.shift();
        if (waiter === undefined) return this.end(unsolicited(decoder));
        waiter.reply(decoder);
        waiter = undefined;
      }
    } catch (error) {
      const cause = error instanceof StreamerError
        ? error
        : new StreamerError("PROTOCOL", "Cannot read a reply", { cause: error });
      if (this.#end === undefined) (waiter ?? this.#waiting.shift())?.lost(cause, true); // it is this one's reply
      this.end(cause);
    }
  }

  /** Watches for silence for as long as somebody waits; one timer, set again only when it runs out. */
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
        new StreamerError("TIMEOUT", `No answer within ${this.#patience()} ms, the connection is presumed dead`),
      );}
  }
}

/** What those get whose reply was not the one that broke the protocol. */
function afterViolation(cause: StreamerError): StreamerError {
  return new StreamerError("DISCONNECTED", "The connection was given up after a violation of the protocol", { cause });
}

/** A server may say why it closes before anything was asked: too many clients, protected mode. */
function unsolicited(decoder: RespDecoder): StreamerError {
  if (isErrorReply(decoder)) return readError(decoder, valueCommand(["(no command)"]));
  return new StreamerError("PROTOCOL", "Cannot match a reply to a command as none waits for it");
}
