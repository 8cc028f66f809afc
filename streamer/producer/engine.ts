// Carries messages to the server and their receipts back, over one connection that may be lost and come again. It
// decides when bytes are written; what is written in which order is the outbox's business, what a refusal means the policy's.

import { type FailedOutcome, RedisError, StreamerError } from "../../resp/errors.ts";
import type { RespDecoder } from "../../resp/decoder.ts";
import type { Clock, Timer } from "../../resp/connection/clock.ts";
import { isErrorReply, readErrorText } from "../../resp/connection/command.ts";
import { Connection } from "../../resp/connection/connection.ts";
import type { OpenConnection, RedisNode } from "../../resp/connection/node.ts";
import type { Pipeline } from "../../resp/connection/pipeline.ts";
import { reconnectDelay, type ReconnectOptions } from "../../resp/connection/backoff.ts";
import type { TimestampFormat } from "../model/id.ts";
import { readEntryId } from "../commands/xadd.ts";
import type { SendLedger } from "./batch.ts";
import { CHUNK_BYTES, ChunkPool } from "./chunk.ts";
import { Fence } from "../../resp/connection/fence.ts";
import type { ProducerSettings } from "./options.ts";
import { Outbox } from "./outbox.ts";
import { FIRST_WINDOW, judgeRefusal, MAX_WINDOW, widenWindow } from "./policy.ts";
import { type SendRecord, STATE } from "./receipt.ts";
import { RecordQueue } from "./record_queue.ts";
import { Stamps } from "./stamps.ts";
import { Backlog, type Carrier, type Target } from "./target.ts";

/** What an engine needs beside its settings. */
export interface EngineOptions {
  readonly node: RedisNode;
  readonly settings: ProducerSettings;
  readonly timestampFormat: TimestampFormat;
  readonly reconnect: Required<ReconnectOptions>;
  readonly onFenceUnavailable: (detail: { readonly node: string; readonly cause: unknown }) => void;
}

/** Numbers of what a producer has done; `buffered` in bytes. */
export interface ProducerStats {
  /** Bytes accepted and not settled. */
  readonly buffered: number;
  /** Messages written and not answered. */
  readonly inFlight: number;
  /** Messages accepted. */
  readonly sent: number;
  /** Messages stored. */
  readonly acked: number;
  /** Messages that failed. */
  readonly failed: number;
  /** Messages written once more, after a cut or a refusal. */
  readonly resent: number;
}

/** One pipeline of messages, shared by a producer and its clones. */
export class Engine implements Carrier<SendRecord> {
  readonly chunks = new ChunkPool();
  readonly timestampFormat: TimestampFormat;
  readonly settings: ProducerSettings;
  readonly #options: EngineOptions;
  readonly #clock: Clock;
  readonly #connection: Connection;
  readonly #outbox = new Outbox();
  readonly #accepted = new RecordQueue<SendRecord>(); // oldest first, for the timeout
  readonly #fence = new Fence();
  readonly #stamps = new Stamps();
  readonly #ambiguous = new SharedErrors("AMBIGUOUS", LOST_ANSWER);
  readonly #closing = new AbortController();
  #pipeline: Pipeline | undefined; // while it may be written to
  #returned: SendRecord[] = []; // by a cut that is being told of
  #cutInFlight = false; // whether commands were in flight at that cut
  readonly #refusing = new Set<Target<SendRecord>>(); // those with a backlog, or that had one
  #lastCause: StreamerError | undefined; // of the last cut
  #serial = 0;
  #buffered = 0;
  #inFlight = 0;
  #inFlightBytes = 0;
  #unwritten = 0; // bytes
  #window = MAX_WINDOW;
  #acked = 0;
  #failed = 0;
  #resent = 0;
  #pumping = false;
  #now = 0; // of the tick
  #timer: Timer | undefined;
  #ready: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.settings = options.settings;
    this.timestampFormat = options.timestampFormat;
    this.#clock = options.node.clock;
    this.#connection = new Connection(options.node, {
      up: (open) => void this.#up(open),
      down: (cause, open) => this.#down(cause, open),
      failed: (error) => this.#fail(error),
      writable: () => this.#pump(),
    });
    this.#connection.start();
  }

  /** Bytes accepted and not settled. */
  get buffered(): number {
    return this.#buffered;
  }

  get desiredSize(): number {
    return this.settings.highWaterMark - this.#buffered;
  }

  get stats(): ProducerStats {
    return {
      buffered: this.#buffered,
      inFlight: this.#inFlight,
      sent: this.#serial,
      acked: this.#acked,
      failed: this.#failed,
      resent: this.#resent,
    };
  }

  /** Resolves when `desiredSize` is above zero, or at once. */
  get ready(): Promise<void> {
    if (this.desiredSize > 0) return Promise.resolve();
    this.#ready ??= Promise.withResolvers<void>();
    return this.#ready.promise;
  }

  /** The time of this tick, in whole milliseconds. */
  get now(): number {
    if (!this.#pumping) this.#schedule();
    return this.#now;
  }

  get nextSerial(): number {
    return this.#serial++;
  }

  /** Takes a message whose bytes stand in its chunk; it is written when its turn comes, at the latest at the end of this tick. */
  accept(record: SendRecord): void {
    const bytes = record.to - record.from;
    this.#buffered += bytes;
    this.#unwritten += bytes;
    record.target.unsettled++;
    record.batch.unsettled++;
    if (record.chunk !== undefined) record.chunk.unsettled++;
    this.#outbox.add(record);
    this.#accepted.push(record);
    const { sendTimeout } = this.settings;
    if (sendTimeout !== Infinity) this.#timer ??= this.#clock.after(sendTimeout, () => this.#expire());
    if (this.#pipeline === undefined) this.#connection.start();
    else if (this.#unwritten >= CHUNK_BYTES) this.#pump();
  }

  /** Ends the waiting for a message: takes it back while it is not written. */
  withdraw(record: SendRecord, reason: unknown): void {
    if (record.settled) return;
    if (record.state === STATE.queued && !record.doubtful) this.#reject(record, reason);
    else record.abandon(reason);
  }

  /** Calls `run` after so many milliseconds, unless stopped before. */
  after(delay: number, run: () => void): Timer {
    return this.#clock.after(delay, run);
  }

  /** What one handle still has on its way rejects with `DISCONNECTED`. */
  giveUp(ledger: SendLedger): void {
    const errors = new SharedErrors("DISCONNECTED", "Cannot send as the producer has ended");
    for (const record of this.#accepted.drain()) {
      if (record.settled) continue;
      if (record.batch.handle !== ledger) this.#accepted.push(record);
      else this.#disconnect(record, errors, undefined);
    }
  }

  /** Closes the connection; what is not settled rejects with `DISCONNECTED`. Twice is harmless. */
  close(): void {
    this.#closing.abort(new StreamerError("DISCONNECTED", "The producer has ended"));
    this.#connection.close();
    this.#fail(new StreamerError("DISCONNECTED", "Cannot send as the producer has ended"));
    this.#timer?.stop();
    for (const { backlog } of this.#refusing) backlog?.timer?.stop();
  }

  // What the records call.

  replied(record: SendRecord, decoder: RespDecoder): void {
    const { target } = record;
    const refusal = isErrorReply(decoder) ? readErrorText(decoder) : undefined;
    if (refusal === undefined) readEntryId(decoder, record); // throws for another shape, before anything has changed
    this.#answered(record);
    if (refusal !== undefined) {
      this.#refused(record, refusal);
    } else {
      if (target.refusingSince !== undefined) this.#recovered(target);
      if (!record.settled) { // else its time had run out: the answer is discarded
        this.#acked++;
        this.#settle(record);
        record.resolve();
      }
    }
    while (this.#accepted.peek()?.settled) this.#accepted.shift();
    if (target.backlog !== undefined) this.#awaitRelease(target, target.backlog);
  }

  lost(record: SendRecord, cause: StreamerError): void {
    this.#answered(record);
    this.#cutInFlight = true;
    if (record.chunk !== undefined) record.chunk.reusable = false;
    if (record.settled) return;
    const again = record.doubtful;
    record.doubtful = true;
    if (this.settings.delivery === "at-most-once") return this.#reject(record, this.#ambiguous.of(record, cause));
    if (again && cause.code === "PROTOCOL") return this.#reject(record, unreadable(cause)); // it was this reply, twice
    this.#requeue(record);
    this.#returned.push(record);
  }

  #answered(record: SendRecord): void {
    const bytes = record.to - record.from;
    this.#inFlight--;
    this.#inFlightBytes -= bytes;
    record.target.inFlight--;
    if (this.#window < MAX_WINDOW) this.#window = widenWindow(this.#window, bytes);
    if (!this.#pumping && this.#outbox.waits) this.#schedule();
  }

  #refused(record: SendRecord, text: string): void {
    if (record.settled) return;
    const error = new RedisError(text, { command: "XADD", outcome: outcomeOf(record) });
    if (judgeRefusal(error.code) === "reject") return this.#reject(record, meaningOf(error, record));
    const { target } = record;
    target.refusingSince ??= this.#clock.now();
    target.backlog ??= new Backlog<SendRecord>();
    this.#refusing.add(target);
    target.backlog.refuse(record, error);
    this.#requeue(record);
  }

  /** Something was stored again: what had been refused before it cannot keep its place any more. */
  #recovered(target: Target<SendRecord>): void {
    target.refusingSince = undefined;
    const { backlog } = target;
    if (backlog === undefined) this.#refusing.delete(target);
    else for (const { record, cause } of backlog.overtaken()) this.#reject(record, cause);
  }

  /** Once all that is in flight for a key has been answered, what is held back may be written again, after a while. */
  #awaitRelease(target: Target<SendRecord>, backlog: Backlog<SendRecord>): void {
    if (backlog.open || backlog.timer !== undefined || target.inFlight > 0) return;
    const refusing = this.#clock.now() - (target.refusingSince ?? this.#clock.now());
    const delay = reconnectDelay(this.#options.reconnect, refusing, this.#clock.random());
    backlog.timer = this.#clock.after(delay, () => {
      backlog.timer = undefined;
      this.#outbox.release(target);
      this.#pump();
    });
  }

  #requeue(record: SendRecord): void {
    record.state = STATE.queued;
    this.#unwritten += record.to - record.from;
    this.#resent++;
  }

  // What becomes of a message.

  #reject(record: SendRecord, error: unknown): void {
    if (record.settled) return;
    if (record.state === STATE.queued) this.#unwritten -= record.to - record.from;
    else {
      if (record.chunk !== undefined) record.chunk.reusable = false;
    }
    this.#failed++;
    this.#settle(record);
    record.reject(error);
  }

  #settle(record: SendRecord): void {
    this.#buffered -= record.to - record.from;
    record.target.unsettled--;
    if (record.chunk !== undefined) this.chunks.settled(record.chunk);
    record.chunk = undefined;
    record.batch.handle.settled(record.batch);
    if (this.#ready !== undefined && this.desiredSize > 0) {
      this.#ready.resolve();
      this.#ready = undefined;
    }
  }

  /** Rejects what has waited too long, and looks again when the next one will have. */
  #expire(): void {
    this.#timer = undefined;
    const { sendTimeout } = this.settings;
    const now = this.#clock.now();
    const late = new SharedErrors("TIMEOUT", `Cannot send within ${sendTimeout} ms`);
    for (let record = this.#accepted.peek(); record !== undefined; record = this.#accepted.peek()) {
      const left = record.acceptedAt + sendTimeout - now;
      if (!record.settled && left > 0) {
        this.#timer = this.#clock.after(left, () => this.#expire());
        return;
      }
      this.#accepted.shift();
      if (record.settled) continue;
      const cause = record.target.backlog?.cause ?? this.#lastCause;
      if (record.state === STATE.written) record.doubtful = true; // its answer is still out
      this.#reject(record, late.of(record, cause));
    }
  }

  /** There will be no connection by itself: everything that waits fails. */
  #fail(error: StreamerError): void {
    const errors = new SharedErrors(error.code, error.message);
    for (const record of this.#accepted.drain()) this.#disconnect(record, errors, error.cause);
  }

  #disconnect(record: SendRecord, errors: SharedErrors, cause: unknown): void {
    if (record.settled) return;
    if (record.state === STATE.written) record.doubtful = true; // its answer is still out
    this.#reject(record, errors.of(record, cause));
  }

  // The connection.

  async #up({ pipeline }: OpenConnection): Promise<void> {
    const { signal } = this.#closing;
    try {
      if (this.#fence.needed) {
        const node = this.#connection.node.name;
        const onUnavailable = (cause: unknown) => this.#options.onFenceUnavailable({ node, cause });
        await this.#fence.raise(pipeline, { clock: this.#clock, signal, onUnavailable });
      }
    } catch {
      return; // the connection is gone again, or we are: there will be another, or none
    }
    if (pipeline.ending !== undefined || signal.aborted) return;
    this.#pipeline = pipeline;
    this.#pump();
  }

  #down(cause: StreamerError, { pipeline, info }: OpenConnection): void {
    if (this.#pipeline === pipeline) this.#pipeline = undefined;
    this.#lastCause = cause;
    this.#window = FIRST_WINDOW;
    if (this.#cutInFlight) this.#fence.add(info.identity);
    this.#cutInFlight = false;
    const returned = this.#returned.splice(0);
    const held = returned.filter((record) => record.target.backlog !== undefined);
    for (const record of held) record.target.backlog?.refuse(record, cause);
    this.#outbox.returned(returned.filter((record) => record.target.backlog === undefined));
    for (const target of this.#refusing) { // nothing is in flight any more
      if (target.backlog !== undefined) this.#awaitRelease(target, target.backlog);
      else this.#refusing.delete(target);
    }
  }

  // Writing.

  #schedule(): void {
    this.#pumping = true;
    this.#now = Math.floor(this.#clock.now());
    queueMicrotask(() => {
      this.#pumping = false;
      this.#pump();
    });
  }

  #pump(): void {
    const pipeline = this.#pipeline;
    if (pipeline === undefined) return;
    while (pipeline.ready && this.#inFlightBytes < this.#window) {
      const bytes = this.#outbox.take(CHUNK_BYTES, (record) => this.#write(record, pipeline));
      if (bytes === undefined) return;
      pipeline.send(bytes);
    }
  }

  #write(record: SendRecord, pipeline: Pipeline): void {
    const bytes = record.to - record.from;
    if (record.stampAt !== undefined && record.chunk !== undefined) {
      this.#stamps.stamp(record.chunk.bytes, record.stampAt);
    }
    record.state = STATE.written;
    record.target.inFlight++;
    this.#inFlight++;
    this.#inFlightBytes += bytes;
    this.#unwritten -= bytes;
    pipeline.expect(record);
  }
}

function outcomeOf(record: SendRecord): FailedOutcome {
  return record.doubtful ? "unknown" : "not-written";
}

const LOST_ANSWER = "The connection was lost before the message was answered: it may be stored";

/** The answer to this message cannot be read, however often it is sent. */
function unreadable(cause: StreamerError): StreamerError {
  return new StreamerError("PROTOCOL", cause.message, { cause, outcome: "unknown" });
}

/**
 * One error for all messages that fail together for one reason: making a stack for each of a million would stop the loop
 * for seconds, and nobody reads them.
 */
class SharedErrors {
  readonly #code: string;
  readonly #message: string;
  #last: { readonly outcome: FailedOutcome; readonly cause: unknown; readonly error: StreamerError } | undefined;

  constructor(code: string, message: string) {
    this.#code = code;
    this.#message = message;
  }

  of(record: SendRecord, cause: unknown): StreamerError {
    const outcome = outcomeOf(record);
    if (this.#last?.outcome !== outcome || this.#last.cause !== cause) {
      const error = new StreamerError(this.#code, this.#message, { cause, outcome });
      this.#last = { outcome, cause, error };
    }
    return this.#last.error;
  }
}

/**
 * Servers before 7.0 know no `<time>-*`, and say it in words about ids. And a message with a time of its own that is sent
 * again after a cut is refused because of itself, if it had been stored.
 */
function meaningOf(error: RedisError, record: SendRecord): StreamerError {
  if (error.code !== "ERR") return error;
  if (record.doubtful && error.message.startsWith("ERR The ID specified in XADD is equal or smaller")) {
    return new StreamerError("AMBIGUOUS", LOST_ANSWER, { cause: error, outcome: "unknown" });
  }
  if (!error.message.startsWith("ERR Invalid stream ID")) return error;
  return new StreamerError(
    "UNSUPPORTED",
    "Cannot send with an own timestamp as the server must be Redis 7.0 or later",
    {
      cause: error,
      outcome: outcomeOf(record),
    },
  );
}
