// Owns the main job: one task sends, another receives, at the same time. Must not know files, servers or terminals.

import { setTimeout as sleep } from "node:timers/promises";
import type { Consumer, Message, Producer, RedisStreamer, SendReceipt } from "../../mod.ts";
import { Tally } from "./tally.ts";

/** What is to be transferred, and how. */
export interface Job {
  readonly streamKey: string;
  /** Lines in handfuls; each handful may be gone when the next is asked for. */
  readonly lines: AsyncIterable<Iterable<Uint8Array>>;
  /** Most lines to send. */
  readonly limit: number;
  /** Messages per second; Infinity for as fast as it goes. */
  readonly rate: number;
  /** One message in so many is timed: it carries the time at which it was sent. The others are bare. */
  readonly timeOneIn: number;
  readonly signal: AbortSignal;
}

const SENT_AT = "sent-at";
// Enough to keep the server busy; more would only lengthen the queue, and with it the latency.
const HIGH_WATER_MARK = 1024 * 1024;
// How long the receiver waits, when everything has been sent, for messages that do not come.
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

  /** Resolves when the last message sent was received, or does not come; rejects with the signal's reason. */
  async run(streamer: RedisStreamer): Promise<void> {
    const { streamKey, signal } = this.#job;
    // The consumer first: it receives what is sent from then on.
    const consumer = await streamer.createConsumer(streamKey, { mode: "real-time", signal });
    const producer = await streamer.createProducer(streamKey, { highWaterMark: HIGH_WATER_MARK, signal });
    const stop = () => {
      consumer.end();
      producer.end({ timeout: 0 }).catch(() => {}); // what is not stored by now is given up
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
    reading: for await (const handful of lines) {
      for (const line of handful) {
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
      (error) => this.#failure ??= error, // seen here, so flush() does not tell it
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

  /** Ids rise: behind the last one sent there is nothing to wait for. Whoever learns of it last ends the receiving. */
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

  /** Takes from the server what was received, so that its memory stays small too. */
  #trim(producer: Producer, minTimestamp: Date): void {
    this.#trimming ??= this.#trimAll(producer, minTimestamp).then(() => this.#trimming = undefined, () => {
      // Servers before 6.2 cannot: not tried again, and the stream stays until the demo deletes it.
    });
  }

  async #trimAll(producer: Producer, minTimestamp: Date): Promise<void> {
    while (await producer.trim({ minTimestamp }) > 0); // the server removes a limited number at a time
  }
}
