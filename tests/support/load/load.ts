// A steady load on a sharded stream: numbered messages, and how and when each of them ended.

import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import type { GenericProducer, Receipt, SendReceipt, Sharder } from "../../../mod.ts";
import { until } from "../events.ts";

/** Reads the shard off the payload `<shard>:<number>`. */
export const shardOfPayload: Sharder = { shard: (_streamKey, payload) => Number(String(payload).split(":")[0]) };

/** A message of a load. */
export interface Sent {
  readonly shard: number;
  /** Its place among the messages of its shard. */
  readonly number: number;
  readonly payload: string;
  /** Milliseconds of `performance.now()`. */
  readonly sentAt: number;
  /** Reads `outcome` from it. */
  readonly receipt: SendReceipt;
  /** Milliseconds; `undefined` until it is stored or rejected. */
  settledAt: number | undefined;
  /** Set once it is stored. */
  stored: Receipt | undefined;
  error: unknown;
}

/** Options of {@linkcode Load}. */
export interface LoadOptions {
  readonly streamKey: string;
  /** @default {12} */
  readonly shards?: number;
  /** Messages a second, over all shards. @default {2_000} */
  readonly rate?: number;
}

/** The time in which something was done to the cluster. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** Milliseconds of sending that are caught up after a pause of this process. Older ones are left out. */
const CAUGHT_UP = 100;

/** Sends from its creation until it is stopped. */
export class Load {
  readonly streamKey: string;
  /** The messages of each shard, in the order of the calls. */
  readonly sent: readonly Sent[][];
  /** The longest time between two turns of this process, in milliseconds: no receipt can be noted meanwhile. */
  longestPause = 0;
  readonly #producers: readonly GenericProducer[];
  readonly #rate: number;
  readonly #done: Promise<void>;
  #count = 0;
  #settled = 0;
  #stopped = false;

  /** Several producers take turns. */
  constructor(producers: GenericProducer | readonly GenericProducer[], options: LoadOptions) {
    const { streamKey, shards = 12, rate = 2_000 } = options;
    this.streamKey = streamKey;
    this.sent = Array.from({ length: shards }, () => []);
    this.#producers = [producers].flat();
    this.#rate = rate;
    this.#done = this.#run();
  }

  /** The Redis key of each shard. */
  get keys(): string[] {
    return this.sent.map((_, shard) => `${this.streamKey}:${shard}`);
  }

  /** Messages sent so far. */
  get count(): number {
    return this.#count;
  }

  /** Messages that are neither stored nor rejected. */
  get unsettled(): number {
    return this.#count - this.#settled;
  }

  /** All messages. */
  get all(): Sent[] {
    return this.sent.flat();
  }

  /** Resolves when every message of now is settled. */
  async settled(timeout = 30_000): Promise<void> {
    const waiting = this.all.filter(({ settledAt }) => settledAt === undefined);
    await until(() => waiting.every(({ settledAt }) => settledAt !== undefined), {
      timeout,
      what: `${waiting.length} messages are settled`,
    });
  }

  /** Resolves when each of these shards has got a receipt for a message that is sent from now on. */
  async flowing(shards: readonly number[] = this.sent.map((_, shard) => shard), timeout = 30_000): Promise<void> {
    const from = shards.map((shard) => this.sent[shard].length);
    const flows = (shard: number, at: number) => this.sent[shard].slice(from[at]).some(({ stored }) => stored);
    await until(() => shards.every(flows), { timeout, what: `messages of the shards ${shards} are stored` });
  }

  /** Runs `cause`, and gives the time it took. */
  async during(cause: () => Promise<unknown>): Promise<Span> {
    const from = performance.now();
    await cause();
    return { from, to: performance.now() };
  }

  /** Stops sending, and waits until all messages are settled. */
  async stop(timeout = 30_000): Promise<void> {
    this.#stopped = true;
    await this.#done;
    await this.settled(timeout);
  }

  async #run(): Promise<void> {
    let due = 0;
    let last = performance.now();
    while (!this.#stopped) {
      await sleep(2);
      const now = performance.now();
      this.longestPause = Math.max(this.longestPause, now - last);
      due += Math.min(now - last, CAUGHT_UP) * this.#rate / 1_000;
      last = now;
      for (; due >= 1; due--) this.#send(now);
    }
  }

  #send(now: number): void {
    const shard = this.#count % this.sent.length;
    const producer = this.#producers[Math.floor(this.#count / this.sent.length) % this.#producers.length];
    const messages = this.sent[shard];
    const payload = `${shard}:${messages.length}`;
    const receipt = producer.sendTo(this.streamKey, payload);
    const message: Sent = {
      shard,
      number: messages.length,
      payload,
      sentAt: now,
      receipt,
      settledAt: undefined,
      stored: undefined,
      error: undefined,
    };
    messages.push(message);
    this.#count++;
    receipt.then((stored) => message.stored = stored, (error) => message.error = error).finally(() => {
      message.settledAt = performance.now();
      this.#settled++;
    });
  }
}
