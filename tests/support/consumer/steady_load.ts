// A steady load on one stream, for failovers: a producer, a real-time consumer and a group consumer, and the checks of what came of it.

import { assert, assertEquals } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import type { AckConsumer, Consumer, Producer, RedisStreamer, SendReceipt } from "../../../mod.ts";
import { until } from "../events.ts";
import { checkStream, endingsOf, entriesOf } from "../producer/stream_checks.ts";
import type { Server } from "../servers/server.ts";
import { countPending } from "./group_faults.ts";

/** Milliseconds between two sends. */
const PACE = 2;
const GROUP = "workers";

/** A load that runs until it is stopped. */
export class SteadyLoad implements AsyncDisposable {
  /** When the last receipt came, and the longest time between two of them. */
  lastAcked = performance.now();
  longestGap = 0;
  /** Ids that the real-time consumer was given, and the group consumer, in the order of coming. */
  readonly read: string[] = [];
  readonly handled: string[] = [];
  readonly #key: string;
  readonly #sends: (readonly [string, SendReceipt])[] = [];
  readonly #sending = new AbortController();
  readonly #reading = new AbortController();
  readonly #sender: Promise<unknown>;
  readonly #readers: Promise<unknown>;

  private constructor(key: string, producer: Producer, realTime: Consumer, group: AckConsumer) {
    this.#key = key;
    this.#sender = this.#send(producer);
    this.#readers = Promise.all([this.#read(realTime), this.#handle(group)]);
  }

  /** Starts it. */
  static async start(streamer: RedisStreamer, key: string): Promise<SteadyLoad> {
    const producer = await streamer.createProducer(key);
    const realTime = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
    const group = await streamer.createConsumer(key, {
      mode: "load-balanced",
      group: GROUP,
      autoCommit: "rolling",
      autoStreamReset: "earliest",
      mkstream: true,
    });
    return new SteadyLoad(key, producer, realTime, group);
  }

  /** Messages sent so far. */
  get sent(): number {
    return this.#sends.length;
  }

  /** Resolves when a message that is sent from now on is acknowledged; gives the milliseconds it took. */
  async acked(): Promise<number> {
    const began = performance.now();
    await until(() => this.lastAcked > began, { timeout: 20_000, what: "a message is acknowledged" });
    return performance.now() - began;
  }

  /**
   * Stops sending, waits until both consumers have seen everything on this server, and checks all of it: nothing acknowledged is lost,
   * nothing is out of order, and only what was in flight at a cut may be there twice.
   */
  async finish(server: Server, { cuts = 1, most = 200 }: { readonly cuts?: number; readonly most?: number } = {}) {
    this.#sending.abort();
    await this.#sender;
    const endings = await endingsOf(this.#sends);
    assert(endings.every((ending) => "receipt" in ending), "every send is acknowledged");
    const entries = await entriesOf(server, this.#key);
    const ids = entries.map(({ id }) => id);
    checkStream(entries, endings, { delivery: "at-least-once", cuts });
    const repeated = entries.length - new Set(entries.map(({ payload }) => payload)).size;
    assert(repeated <= most, `${repeated} entries are there twice`);
    await until(() => this.read.length >= ids.length, { what: "the real-time consumer has read everything" });
    assertEquals(this.read, ids, "the real-time consumer reads everything once and in order");
    const isHandled = () => new Set(this.handled).size >= ids.length;
    await until(isHandled, { what: "the group consumer has handled everything" });
    await until(async () => await countPending(server, this.#key, GROUP) === 0, { what: "everything is acknowledged" });
    assertEquals(new Set(this.handled), new Set(ids));
    this.#reading.abort();
    await this.#readers;
    return {
      sent: endings.length,
      storedTwice: repeated,
      handledTwice: this.handled.length - ids.length,
      longestGap: Math.round(this.longestGap),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#sending.abort();
    this.#reading.abort();
    await Promise.allSettled([this.#sender, this.#readers]);
  }

  async #send(producer: Producer): Promise<void> {
    for (let i = 0; !this.#sending.signal.aborted; i++) {
      const receipt = producer.send(`${i}`);
      this.#sends.push([`${i}`, receipt]);
      receipt.then(() => {
        const now = performance.now();
        this.longestGap = Math.max(this.longestGap, now - this.lastAcked);
        this.lastAcked = now;
      }, () => {});
      await sleep(PACE);
    }
  }

  async #read(consumer: Consumer): Promise<void> {
    for await (const message of consumer.messages({ signal: this.#reading.signal })) this.read.push(message.id);
  }

  async #handle(consumer: AckConsumer): Promise<void> {
    for await (const message of consumer.messages({ signal: this.#reading.signal })) {
      this.handled.push(message.id);
      consumer.ack(message);
    }
  }
}
