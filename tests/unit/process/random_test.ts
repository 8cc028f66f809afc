// Tests the promises of `process` under random handlers, receipts, arrivals and aborts. Without a server.

import { assert, assertEquals } from "@std/assert";
import { type Message, type Output, process, type ProcessOrder } from "../../../mod.ts";
import { Random } from "../../support/resp/drive.ts";
import { FakeConsumer, FakeProducer, message } from "../../support/processing.ts";
import { test } from "../../support/runner.ts";

const MESSAGES = 300;
const LINES = 4;

/** Settles some outstanding receipts, mostly in order, as a producer does. */
function settleSome(random: Random, producer: FakeProducer): void {
  const pending = producer.sent.filter(({ receipt }) => receipt.outcome === "pending");
  const some = random.once(3) ? pending.filter(() => random.once(2)) : pending.slice(0, random.below(20));
  for (const { receipt } of some) {
    if (random.once(9)) receipt.fail(new Error("lost"), random.of(["unknown", "not-written"]));
    else receipt.ack();
  }
}

/** Handlers that return at once, later or not at all, and a record of them. */
class RandomHandlers {
  /** The numbers that each line's handlers were called with. */
  readonly lines = new Map<string, number[]>();
  /** The messages that must be acked, unless a receipt of them fails. */
  readonly returned = new Set<string>();
  readonly #running = new Map<string, (output: Output | Promise<Output>) => void>();
  readonly #busy = new Set<string>();
  readonly #random: Random;
  readonly #rules: { readonly concurrency: number; readonly orderBy: ProcessOrder; readonly signal: AbortSignal };

  constructor(
    random: Random,
    rules: { readonly concurrency: number; readonly orderBy: ProcessOrder; readonly signal: AbortSignal },
  ) {
    this.#random = random;
    this.#rules = rules;
  }

  handle(one: Message): Output | Promise<Output> {
    const { concurrency, orderBy, signal } = this.#rules;
    const text = one.text();
    const [name, number] = text.split(":");
    assert(!signal.aborted, "a handler started after the abort");
    this.lines.set(name, [...this.lines.get(name) ?? [], Number(number)]);
    if (this.#random.once(2)) return this.#output(text);
    assert(orderBy === "none" || !this.#busy.has(name), `two handlers of ${name} at a time`);
    this.#busy.add(name);
    const { promise, resolve } = Promise.withResolvers<Output>();
    this.#running.set(text, resolve);
    assert(this.#running.size <= concurrency, `${this.#running.size} of ${concurrency} handlers run`);
    return promise.finally(() => this.#busy.delete(name));
  }

  finishSome(): void {
    for (const [text, resolve] of this.#running) {
      if (this.#random.once(2)) continue;
      this.#running.delete(text);
      resolve(new Promise((done) => done(this.#output(text))));
    }
  }

  #output(text: string): Output {
    if (this.#random.once(12)) throw new Error("thrown");
    this.returned.add(text);
    return this.#random.of([undefined, [], text, { payload: text }, [text, text]]);
  }
}

async function run(seed: number, orderBy: ProcessOrder): Promise<void> {
  const random = new Random(seed);
  const concurrency = random.of([1, 2, 5, 16]);
  const consumer = new FakeConsumer(random.of(["rolling", "disabled"]));
  const producer = new FakeProducer({ storing: random.once(3) });
  const controller = new AbortController();
  const { signal } = controller;
  const handlers = new RandomHandlers(random, { concurrency, orderBy, signal });
  const failures: unknown[] = [];
  const onError = (error: unknown) => void failures.push(error);
  const done = process(consumer, (one) => handlers.handle(one), { concurrency, orderBy, producer, onError, signal });
  let over = false;
  const ended = done.finally(() => over = true);
  const abortAt = random.below(120);
  for (let turn = 0, put = 0; !over; turn++) {
    for (let left = random.below(12); left > 0 && put < MESSAGES; left--, put++) {
      const line = random.below(LINES);
      const place = orderBy === "shard" ? { shardId: line } : { headers: ["user", `${line}`] };
      consumer.put(message(`${line}:${put}`, place));
    }
    handlers.finishSome();
    settleSome(random, producer);
    if (random.once(4)) producer.desiredSize = random.below(2);
    else if (producer.desiredSize === 0) producer.drain();
    assert(consumer.taken - consumer.acked.length - consumer.nacked.length <= 4_096 + 3 * concurrency);
    if (turn >= abortAt) controller.abort();
    if (random.once(2)) await Promise.resolve();
    else await new Promise((resolve) => setTimeout(resolve, 0));
  }
  const counts = await ended;
  assertEquals(counts, { handled: consumer.acked.length, failed: failures.length, repeated: 0 });
  for (const error of failures) assert(["lost", "thrown"].includes((error as Error).message), String(error));
  assertSettled(consumer, producer, failures.length);
  for (const text of consumer.acked) {
    assert(handlers.returned.has(text), `${text} was acked and its handler has not returned`);
  }
  if (orderBy === "none") return;
  for (const [name, numbers] of handlers.lines) {
    assertEquals(numbers, numbers.toSorted((a, b) => a - b), `order of ${name}`);
  }
}

/** Each message is settled once: acked if all of its output is stored, else nacked. */
function assertSettled(consumer: FakeConsumer, producer: FakeProducer, failures: number): void {
  const givenBack = consumer.nacked.map((line) => line.split(" ")[0]);
  const settled = [...consumer.acked, ...givenBack];
  assertEquals(new Set(settled).size, settled.length, "a message was settled twice");
  assertEquals(settled.length, consumer.taken, "every message taken is acked or nacked");
  assertEquals(consumer.nacked.filter((line) => !line.endsWith(" back")).length, failures);
  const lost = new Set(
    producer.sent.filter(({ receipt }) => receipt.outcome !== "acked").map(({ payload }) => payload),
  );
  for (const text of consumer.acked) assert(!lost.has(text), `${text} was acked and its output was lost`);
  assertEquals(consumer.commits.at(-1), consumer.acked.length);
}

for (const orderBy of ["shard", "none", { header: "user" }] satisfies ProcessOrder[]) {
  const name = typeof orderBy === "string" ? orderBy : "header";
  const first = 1 + Math.floor(Math.random() * 1e9);
  const rounds = 25;
  test(`random runs ordered by ${name} lose nothing, settle each message once and keep the order (seeds from ${first})`, async () => {
    for (let seed = first; seed < first + rounds; seed++) {
      await run(seed, orderBy).catch((cause) => {
        throw new Error(`Seed ${seed}`, { cause });
      });
    }
  });
}
