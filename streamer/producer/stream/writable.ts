// A producer as a web stream, with back-pressure by `ready`. Closing the stream waits until all messages are settled.

import { abortable } from "../../model/abortable.ts";
import type { SendRecord } from "../messages/receipt.ts";
import { StreamFailure } from "./stream_failure.ts";

/** The needed part of a producer. */
export interface WritableTarget<P> {
  readonly desiredSize: number;
  readonly ready: Promise<void>;
  /** Sends a message. Its failure counts as not awaited until `reported` is called. */
  send(payload: P): SendRecord;
  /** Resolves when all earlier sends are settled, also if they failed. Rejects with the signal's reason. */
  settle(signal: AbortSignal): Promise<void>;
}

/** Creates the stream. A failed send errors the stream and a pipe into it. `onDone` is called when the stream ends. */
export function writableOf<P>(target: WritableTarget<P>, onDone: () => void): WritableStream<P> {
  const failure = new StreamFailure();
  const stream = new SendingStream<P>(new SendingSink<P>(target, { failure, onDone }), failure);
  failure.attach(stream);
  return stream;
}

interface SinkOptions {
  readonly failure: StreamFailure;
  readonly onDone: () => void;
}

/** Sends the chunks of the stream. */
class SendingSink<P> implements UnderlyingSink<P> {
  readonly #target: WritableTarget<P>;
  readonly #failure: StreamFailure;
  readonly #onDone: () => void;
  readonly #stop = new AbortController(); // aborts `write` and `close`
  #controller: WritableStreamDefaultController | undefined;
  #state: "open" | "waiting" | "closing" | "aborted" = "open"; // waiting: `write` waits for `ready`

  constructor(target: WritableTarget<P>, { failure, onDone }: SinkOptions) {
    this.#target = target;
    this.#failure = failure;
    this.#onDone = onDone;
  }

  start(controller: WritableStreamDefaultController): void {
    this.#controller = controller;
    const { signal } = controller; // aborted immediately, while a sink's `abort` waits for its `write` and `close`
    signal.addEventListener("abort", () => {
      this.#state = "aborted"; // the producer's flush reports later failures
      this.#onDone();
      this.#stop.abort(signal.reason);
    }, { once: true });
  }

  async write(payload: P): Promise<void> {
    if (this.#target.desiredSize <= 0) await this.#ready();
    const record = this.#target.send(payload);
    if (record.settled) throw this.#refused(record);
    record.release = () => this.#settled(record);
  }

  async close(): Promise<void> {
    this.#state = "closing";
    this.#onDone();
    await this.#target.settle(this.#stop.signal);
    const { first } = this.#failure;
    if (first === undefined) return;
    this.#failure.report();
    throw first.reason;
  }

  async #ready(): Promise<void> {
    this.#state = "waiting";
    await abortable(this.#target.ready, this.#stop.signal);
    this.#stop.signal.throwIfAborted();
    this.#state = "open";
  }

  /** Returns the error of a message that was not accepted. The promise of its write rejects with it. */
  #refused(record: SendRecord): unknown {
    this.#failure.add(record);
    this.#failure.report();
    this.#onDone();
    return record.failure;
  }

  #settled(record: SendRecord): void {
    if (record.outcome === "acked" || this.#state === "aborted") return;
    const { first } = this.#failure;
    this.#failure.add(record);
    if (first !== undefined || this.#state === "closing") return; // `close` reports it when all sends are settled
    if (this.#state === "waiting") this.#failure.report(); // the promise of that write rejects
    else this.#failure.errored();
    this.#onDone();
    this.#controller?.error(record.failure);
    this.#stop.abort(record.failure);
  }
}

/** A stream that tracks the writer of the program and its promises. */
class SendingStream<P> extends WritableStream<P> {
  readonly #failure: StreamFailure;

  constructor(sink: SendingSink<P>, failure: StreamFailure) {
    super(sink);
    this.#failure = failure;
  }

  override getWriter(): WritableStreamDefaultWriter<P> {
    return new SendingWriter<P>(this, this.#failure);
  }

  override abort(reason?: unknown): Promise<void> {
    return aborted(super.abort(reason), reason);
  }
}

/** A writer that tracks which of its promises the program reads. */
class SendingWriter<P> extends WritableStreamDefaultWriter<P> {
  readonly #failure: StreamFailure;

  constructor(stream: WritableStream<P>, failure: StreamFailure) {
    super(stream);
    this.#failure = failure;
    failure.acquired(this);
  }

  override get closed(): Promise<void> {
    this.#failure.asked(this, "ever");
    return super.closed;
  }

  override get ready(): Promise<void> {
    this.#failure.asked(this, "now");
    return super.ready;
  }

  override write(chunk?: P): Promise<void> {
    this.#failure.asked(this, "now");
    return super.write(chunk);
  }

  override close(): Promise<void> {
    this.#failure.asked(this, "now");
    const { first } = this.#failure;
    const closing = super.close();
    if (first === undefined) return closing;
    return closing.catch(() => Promise.reject(first.reason)); // `closing` alone only says that the stream is errored
  }

  override abort(reason?: unknown): Promise<void> {
    return aborted(super.abort(reason), reason);
  }

  override releaseLock(): void {
    super.releaseLock();
    this.#failure.released(this);
  }
}

/** Ignores the rejection of a pending `close` with the reason of the abort. */
async function aborted(aborting: Promise<void>, reason: unknown): Promise<void> {
  try {
    await aborting;
  } catch (error) {
    if (error !== reason) throw error;
  }
}
