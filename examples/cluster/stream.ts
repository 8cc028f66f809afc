// The two ends of the stream: sends numbers at a steady rate, and receives them through a consumer group.

import { setTimeout as sleep } from "node:timers/promises";
import {
  type AckConsumer,
  type Codec,
  jsonCodec,
  keyHashSharder,
  type Producer,
  type RedisStreamer,
  type TypedMessage,
} from "../../mod.ts";

/** A number, and its place among those of its shard. */
interface Numbered {
  readonly number: number;
}

const codec: Codec<Numbered> = jsonCodec<Numbered>();

/** The stream. */
export interface StreamOptions {
  readonly streamKey: string;
  readonly shards: number;
}

/** Sends numbers. */
export class Transmission {
  /** Numbers that were stored. */
  sent = 0;
  rejected = 0;
  /** The longest time without any acknowledgement, in milliseconds. */
  longestGap = 0;
  readonly #producer: Producer<Numbered>;
  readonly #rate: number;
  #lastAck: number | undefined;

  private constructor(producer: Producer<Numbered>, rate: number) {
    this.#producer = producer;
    this.#rate = rate;
  }

  /** Opens the producer. */
  static async open(
    streamer: RedisStreamer,
    { streamKey, shards, rate }: StreamOptions & { readonly rate: number },
  ): Promise<Transmission> {
    const producer = await streamer.createProducer(streamKey, { codec, sharder: keyHashSharder(shards) });
    return new Transmission(producer, rate);
  }

  /** How many were sent again after a redirect or a lost connection. */
  get resent(): number {
    return this.#producer.stats().resent;
  }

  /** Sends so many numbers at the rate; resolves when all are stored or rejected. */
  async send(count: number): Promise<void> {
    const start = performance.now();
    for (let number = 0; number < count;) {
      const due = Math.min(count, Math.floor((performance.now() - start) / 1_000 * this.#rate) + 1);
      for (; number < due; number++) this.#sendOne(number);
      await sleep(5);
    }
    await this.#producer.flush().catch(() => {}); // rejected sends were counted
  }

  #sendOne(number: number): void {
    this.#producer.send({ number }, { key: `${number % 100}` }).then(() => {
      this.sent++;
      const now = performance.now();
      this.longestGap = Math.max(this.longestGap, now - (this.#lastAck ?? now));
      this.#lastAck = now;
    }, () => this.rejected++);
  }
}

/** Receives numbers. */
export class Reception {
  readonly #consumer: AckConsumer<TypedMessage<Numbered>>;
  readonly #counts = new Map<number, number>();
  readonly #highest = new Map<number, number>(); // of each shard
  readonly #reading: Promise<void>;
  #disordered = 0;

  private constructor(consumer: AckConsumer<TypedMessage<Numbered>>) {
    this.#consumer = consumer;
    this.#reading = this.#read();
  }

  /** Opens the consumer. */
  static async open(streamer: RedisStreamer, { streamKey, shards }: StreamOptions): Promise<Reception> {
    return new Reception(
      await streamer.createConsumer(streamKey, {
        mode: "resumable",
        group: "counters",
        autoStreamReset: "earliest",
        autoCommit: "rolling",
        shards,
        codec,
      }),
    );
  }

  /** Resolves when so many different numbers have arrived. */
  async complete(count: number, signal: AbortSignal): Promise<void> {
    while (this.#counts.size < count) await sleep(20, undefined, { signal });
  }

  /** Compares what has arrived with the number of numbers that were sent. */
  compare(sent: number): { readonly missing: number; readonly repeated: number; readonly disordered: number } {
    let repeated = 0;
    for (const count of this.#counts.values()) repeated += count - 1;
    return { missing: sent - this.#counts.size, repeated, disordered: this.#disordered };
  }

  /** Ends the consumer. */
  async end(): Promise<void> {
    await this.#consumer.end();
    await this.#reading;
  }

  async #read(): Promise<void> {
    for await (const message of this.#consumer) {
      const { number } = message.value;
      const count = (this.#counts.get(number) ?? 0) + 1;
      this.#counts.set(number, count);
      const highest = this.#highest.get(message.shardId) ?? -1;
      if (count === 1 && number < highest) this.#disordered++; // a repetition may come late
      this.#highest.set(message.shardId, Math.max(highest, number));
      this.#consumer.ack(message);
    }
  }
}
