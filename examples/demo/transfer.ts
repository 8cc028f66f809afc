// The main job: one task sends, another receives, at the same time. It does not know files, servers or terminals.

import { setTimeout as sleep } from "node:timers/promises";
import type { Consumer, Message, Producer, RedisStreamer, SendReceipt } from "../../mod.ts";
import { Tally } from "./tally.ts";

/** A transfer to run. */
export interface Job {
  readonly streamKey: string;
  /** Lines, several at a time. They are valid until the next ones are requested. */
  readonly lines: AsyncIterable<Iterable<Uint8Array>>;
  /** The number of lines to send. */
  readonly limit: number;
  /** Messages per second; Infinity for as fast as possible. */
  readonly rate: number;
  /** Every how many messages one is timed: it carries its send time in a header. */
  readonly timeOneIn: number;
  readonly signal: AbortSignal;
}

const SENT_AT = "sent-at";
// Enough to keep the server busy. More would only lengthen the queue, and with it the latency.
const HIGH_WATER_MARK = 1024 * 1024;
// Milliseconds without a message after which the receiver gives up, once everything has been sent.
const PATIENCE = 10_000;
const TRIM_EVERY = 8_192;

/** Sends lines through a stream and receives them. */
export class Transfer {
  readonly sent: Tally = new Tally();
  readonly received: Tally = new Tally();
  startedAt = 0;
  readonly #job: Job;
  #lastSent: string | undefined;
  #lastReceived: string | undefined;
  #failure: unknown;
  #watch: ReturnType<typeof setInterval> | undefined;
  #trimming: Promise<void> | undefined;

  constructor(job: Job) {
    this.#job = job;
  }

  /** Resolves when the last message was received, or after {@linkcode PATIENCE} without one. Rejects with the signal's reason. */
  async run(streamer: RedisStreamer): Promise<void> {
    const { streamKey, signal } = this.#job;
    // The consumer comes first: it receives messages that are sent after it was created.
    const consumer = await streamer.createConsumer(streamKey, { mode: "real-time", signal });
    const producer = await streamer.createProducer(streamKey, { highWaterMark: HIGH_WATER_MARK, signal });
    const stop = () => {
      consumer.end();
      producer.end({ timeout: 0 }).catch(() => {}); // unsent messages are discarded
    };
    signal.addEventListener("abort", stop);
    try {
      this.startedAt = performance.now();
      await Promise.all([this.#send(producer, consumer), this.#receive(consumer, producer)]);
      signal.throwIfAborted();
      await this.#trimming;
      await producer.end();
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener("abort", stop);
      clearInterval(this.#watch);
      await consumer.end();
    }
  }

  async #send(producer: Producer, consumer: Consumer): Promise<void> {
    const { lines, limit, rate, timeOneIn, signal } = this.#job;
    const { sent } = this;
    let last: SendReceipt | undefined;
    reading: for await (const some of lines) {
      for (const line of some) {
        if (sent.count === limit) break reading;
        if (rate !== Infinity) await this.#pace();
        last = sent.count % timeOneIn === 0 ? this.#sendTimed(producer, line) : producer.send(line);
        sent.add(line);
        if (producer.desiredSize <= 0) await producer.ready; // back-pressure
        if (signal.aborted) return;
      }
    }
    await producer.flush(); // rejects if a send has failed
    if (this.#failure !== undefined) throw this.#failure;
    sent.endedAt = performance.now();
    this.#lastSent = (await last)?.id;
    await this.#endIfComplete(consumer);
    this.#giveUpIfNothingComes(consumer);
  }

  #sendTimed(producer: Producer, line: Uint8Array): SendReceipt {
    const at = performance.now();
    const receipt = producer.send(line, { headers: { [SENT_AT]: String(at) } });
    receipt.then(
      () => this.sent.latencies.add(performance.now() - at),
      (error) => this.#failure ??= error, // handled here, so flush() does not report it
    );
    return receipt;
  }

  async #pace(): Promise<void> {
    const early = this.startedAt + this.sent.count / this.#job.rate * 1_000 - performance.now();
    if (early > 0) await sleep(early);
  }

  async #receive(consumer: Consumer, producer: Producer): Promise<void> {
    const { received } = this;
    let trimmed = 0;
    for await (const batch of consumer.batches()) {
      for (const message of batch) {
        if (received.count % this.#job.timeOneIn === 0) this.#noteLatency(message);
        received.add(message.bytes());
      }
      received.endedAt = performance.now();
      const last = batch[batch.length - 1];
      this.#lastReceived = last.id;
      await this.#endIfComplete(consumer);
      if (received.count < trimmed + TRIM_EVERY) continue;
      trimmed = received.count;
      this.#trim(producer, last.timestamp);
    }
  }

  #noteLatency(message: Message): void {
    const at = message.headers.get(SENT_AT);
    if (at !== undefined) this.received.latencies.add(performance.now() - Number(at));
  }

  /** Ids increase: no message follows the last one sent. The sender or the receiver ends the consumer, whichever knows last. */
  async #endIfComplete(consumer: Consumer): Promise<void> {
    if (this.#lastSent !== undefined && this.#lastSent === this.#lastReceived) await consumer.end();
  }

  #giveUpIfNothingComes(consumer: Consumer): void {
    let count = this.received.count;
    this.#watch = setInterval(() => {
      if (this.received.count === count) consumer.end();
      count = this.received.count;
    }, PATIENCE);
  }

  /** Trims received messages from the stream, so that the server's memory stays small. */
  #trim(producer: Producer, minTimestamp: Date): void {
    this.#trimming ??= this.#trimAll(producer, minTimestamp).then(() => this.#trimming = undefined, () => {
      // Redis before 6.2 cannot trim by id. The demo deletes the stream at its end.
    });
  }

  async #trimAll(producer: Producer, minTimestamp: Date): Promise<void> {
    while (await producer.trim({ minTimestamp }) > 0); // the server removes a limited number at a time
  }
}
